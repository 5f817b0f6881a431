WITH frequent AS (
    SELECT substring(i_item_desc, 1, 30) AS description, i_item_sk, d_date
    FROM store_sales
    JOIN date_dim ON d_date_sk = ss_sold_date_sk
    JOIN item ON i_item_sk = ss_item_sk
    WHERE d_year IN (2000, 2001, 2002, 2003)
    GROUP BY 1, 2, 3
    HAVING count(*) > 2),
most AS (
    SELECT max(spent) AS spent
    FROM (
        SELECT sum(ss_quantity * ss_sales_price) AS spent
        FROM store_sales
        JOIN customer ON c_customer_sk = ss_customer_sk
        JOIN date_dim ON d_date_sk = ss_sold_date_sk
        WHERE d_year IN (2000, 2001, 2002, 2003)
        GROUP BY c_customer_sk) x),
best AS (
    SELECT c_customer_sk AS best_sk
    FROM store_sales JOIN customer ON c_customer_sk = ss_customer_sk
    GROUP BY c_customer_sk
    HAVING sum(ss_quantity * ss_sales_price) > 0.5 * (SELECT spent FROM most))
SELECT c_last_name, c_first_name, sum(cs_quantity * cs_list_price) AS sales
FROM catalog_sales
JOIN date_dim d ON d_date_sk = cs_sold_date_sk
JOIN frequent f ON f.i_item_sk = cs_item_sk
JOIN best ON best_sk = cs_bill_customer_sk
JOIN customer ON c_customer_sk = cs_bill_customer_sk
WHERE d_year = 2000 AND d_moy = 11
GROUP BY c_last_name, c_first_name
UNION ALL
SELECT c_last_name, c_first_name, sum(ws_quantity * ws_list_price)
FROM web_sales
JOIN date_dim d ON d_date_sk = ws_sold_date_sk
JOIN frequent f ON f.i_item_sk = ws_item_sk
JOIN best ON best_sk = ws_bill_customer_sk
JOIN customer ON c_customer_sk = ws_bill_customer_sk
WHERE d_year = 2000 AND d_moy = 11
GROUP BY c_last_name, c_first_name
ORDER BY c_last_name, c_first_name, sales
LIMIT 100;
