WITH details AS (
    SELECT d_year, i_brand_id, i_class_id, i_category_id, i_manufact_id,
           cs_quantity - coalesce(cr_return_quantity, 0) AS number,
           cs_ext_sales_price - coalesce(cr_return_amount, 0.0) AS amount
    FROM catalog_sales
    JOIN item ON i_item_sk = cs_item_sk
    JOIN date_dim ON d_date_sk = cs_sold_date_sk
    LEFT JOIN catalog_returns ON cr_order_number = cs_order_number AND cr_item_sk = cs_item_sk
    WHERE i_category = 'Books'
    UNION
    SELECT d_year, i_brand_id, i_class_id, i_category_id, i_manufact_id,
           ss_quantity - coalesce(sr_return_quantity, 0), ss_ext_sales_price - coalesce(sr_return_amt, 0.0)
    FROM store_sales
    JOIN item ON i_item_sk = ss_item_sk
    JOIN date_dim ON d_date_sk = ss_sold_date_sk
    LEFT JOIN store_returns ON sr_ticket_number = ss_ticket_number AND sr_item_sk = ss_item_sk
    WHERE i_category = 'Books'
    UNION
    SELECT d_year, i_brand_id, i_class_id, i_category_id, i_manufact_id,
           ws_quantity - coalesce(wr_return_quantity, 0), ws_ext_sales_price - coalesce(wr_return_amt, 0.0)
    FROM web_sales
    JOIN item ON i_item_sk = ws_item_sk
    JOIN date_dim ON d_date_sk = ws_sold_date_sk
    LEFT JOIN web_returns ON wr_order_number = ws_order_number AND wr_item_sk = ws_item_sk
    WHERE i_category = 'Books'),
years AS (
    SELECT d_year, i_brand_id, i_class_id, i_category_id, i_manufact_id, sum(number) AS number, sum(amount) AS amount
    FROM details
    GROUP BY d_year, i_brand_id, i_class_id, i_category_id, i_manufact_id)
SELECT p.d_year AS previous_year, c.d_year AS year, c.i_brand_id, c.i_class_id, c.i_category_id, c.i_manufact_id,
       p.number AS previous_number, c.number AS number, c.number - p.number AS number_diff,
       c.amount - p.amount AS amount_diff
FROM years c JOIN years p ON c.i_brand_id = p.i_brand_id AND c.i_class_id = p.i_class_id
    AND c.i_category_id = p.i_category_id AND c.i_manufact_id = p.i_manufact_id
WHERE c.d_year = 2002 AND p.d_year = 2001
  AND c.number::DECIMAL(17, 2) / p.number::DECIMAL(17, 2) < 0.9
ORDER BY number_diff, amount_diff, c.i_brand_id, c.i_class_id, c.i_category_id, c.i_manufact_id
LIMIT 100;
