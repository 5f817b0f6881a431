WITH web AS (
    SELECT ws_item_sk AS item_sk, d_date, sum(sum(ws_sales_price)) OVER (
               PARTITION BY ws_item_sk ORDER BY d_date ROWS UNBOUNDED PRECEDING) AS running
    FROM web_sales JOIN date_dim ON d_date_sk = ws_sold_date_sk
    WHERE d_month_seq BETWEEN 1200 AND 1211 AND ws_item_sk IS NOT NULL
    GROUP BY ws_item_sk, d_date),
stores AS (
    SELECT ss_item_sk AS item_sk, d_date, sum(sum(ss_sales_price)) OVER (
               PARTITION BY ss_item_sk ORDER BY d_date ROWS UNBOUNDED PRECEDING) AS running
    FROM store_sales JOIN date_dim ON d_date_sk = ss_sold_date_sk
    WHERE d_month_seq BETWEEN 1200 AND 1211 AND ss_item_sk IS NOT NULL
    GROUP BY ss_item_sk, d_date)
SELECT *
FROM (
    SELECT item_sk, d_date, web.running AS web_sales, stores.running AS store_sales,
           max(web.running) OVER days AS web_cumulative, max(stores.running) OVER days AS store_cumulative
    FROM web FULL JOIN stores USING (item_sk, d_date)
    WINDOW days AS (PARTITION BY item_sk ORDER BY d_date ROWS UNBOUNDED PRECEDING)) x
WHERE web_cumulative > store_cumulative
ORDER BY item_sk, d_date
LIMIT 100;
