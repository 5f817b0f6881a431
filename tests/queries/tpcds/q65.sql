WITH revenues AS (
    SELECT ss_store_sk, ss_item_sk, sum(ss_sales_price) AS revenue
    FROM store_sales JOIN date_dim ON d_date_sk = ss_sold_date_sk
    WHERE d_month_seq BETWEEN 1176 AND 1187
    GROUP BY ss_store_sk, ss_item_sk)
SELECT s_store_name, i_item_desc, r.revenue, i_current_price, i_wholesale_cost, i_brand
FROM revenues r
JOIN (SELECT ss_store_sk, avg(revenue) AS average FROM revenues GROUP BY ss_store_sk) a USING (ss_store_sk)
JOIN store ON s_store_sk = ss_store_sk
JOIN item ON i_item_sk = ss_item_sk
WHERE r.revenue <= 0.1 * average
ORDER BY s_store_name, i_item_desc, r.revenue, i_current_price, i_wholesale_cost, i_brand
LIMIT 100;
