WITH sales AS (
    SELECT ss_item_sk AS item_sk, ss_sold_date_sk AS date_sk, ss_addr_sk AS addr_sk, ss_ext_sales_price AS price
    FROM store_sales
    UNION ALL
    SELECT cs_item_sk, cs_sold_date_sk, cs_bill_addr_sk, cs_ext_sales_price FROM catalog_sales
    UNION ALL
    SELECT ws_item_sk, ws_sold_date_sk, ws_bill_addr_sk, ws_ext_sales_price FROM web_sales)
SELECT i.i_item_id, sum(price) AS total_sales
FROM sales, item i, date_dim, customer_address
WHERE item_sk = i.i_item_sk
  AND date_sk = d_date_sk
  AND addr_sk = ca_address_sk
  AND EXISTS (SELECT 1 FROM item o WHERE o.i_item_id = i.i_item_id AND o.i_category = 'Music')
  AND d_year = 1998
  AND d_moy = 9
  AND ca_gmt_offset = -5
GROUP BY i.i_item_id
ORDER BY i.i_item_id, total_sales
LIMIT 100;
