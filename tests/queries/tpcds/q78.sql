WITH ws AS (
    SELECT d_year AS year, ws_item_sk AS item_sk, ws_bill_customer_sk AS customer_sk, sum(ws_quantity) AS quantity,
           sum(ws_wholesale_cost) AS cost, sum(ws_sales_price) AS price
    FROM web_sales
    LEFT JOIN web_returns ON wr_order_number = ws_order_number AND wr_item_sk = ws_item_sk
    JOIN date_dim ON d_date_sk = ws_sold_date_sk
    WHERE wr_order_number IS NULL
    GROUP BY d_year, ws_item_sk, ws_bill_customer_sk),
cs AS (
    SELECT d_year AS year, cs_item_sk AS item_sk, cs_bill_customer_sk AS customer_sk, sum(cs_quantity) AS quantity,
           sum(cs_wholesale_cost) AS cost, sum(cs_sales_price) AS price
    FROM catalog_sales
    LEFT JOIN catalog_returns ON cr_order_number = cs_order_number AND cr_item_sk = cs_item_sk
    JOIN date_dim ON d_date_sk = cs_sold_date_sk
    WHERE cr_order_number IS NULL
    GROUP BY d_year, cs_item_sk, cs_bill_customer_sk),
ss AS (
    SELECT d_year AS year, ss_item_sk AS item_sk, ss_customer_sk AS customer_sk, sum(ss_quantity) AS quantity,
           sum(ss_wholesale_cost) AS cost, sum(ss_sales_price) AS price
    FROM store_sales
    LEFT JOIN store_returns ON sr_ticket_number = ss_ticket_number AND sr_item_sk = ss_item_sk
    JOIN date_dim ON d_date_sk = ss_sold_date_sk
    WHERE sr_ticket_number IS NULL
    GROUP BY d_year, ss_item_sk, ss_customer_sk)
SELECT year, item_sk, customer_sk,
       round(ss.quantity * 1.00 / (coalesce(ws.quantity, 0) + coalesce(cs.quantity, 0)), 2) AS ratio,
       ss.quantity AS store_quantity, ss.cost AS store_cost, ss.price AS store_price,
       coalesce(ws.quantity, 0) + coalesce(cs.quantity, 0) AS other_quantity,
       coalesce(ws.cost, 0) + coalesce(cs.cost, 0) AS other_cost,
       coalesce(ws.price, 0) + coalesce(cs.price, 0) AS other_price
FROM ss
LEFT JOIN ws USING (year, item_sk, customer_sk)
LEFT JOIN cs USING (year, item_sk, customer_sk)
WHERE (coalesce(ws.quantity, 0) > 0 OR coalesce(cs.quantity, 0) > 0) AND year = 2000
ORDER BY year, item_sk, customer_sk, store_quantity DESC, store_cost DESC, store_price DESC,
         other_quantity, other_cost, other_price, ratio
LIMIT 100;
