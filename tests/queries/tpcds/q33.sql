WITH sales AS (
    SELECT ss_item_sk AS item_sk, ss_sold_date_sk AS date_sk, ss_addr_sk AS addr_sk, ss_ext_sales_price AS price
    FROM store_sales
    UNION ALL
    SELECT cs_item_sk, cs_sold_date_sk, cs_bill_addr_sk, cs_ext_sales_price FROM catalog_sales
    UNION ALL
    SELECT ws_item_sk, ws_sold_date_sk, ws_bill_addr_sk, ws_ext_sales_price FROM web_sales)
SELECT i_manufact_id, sum(price) AS total_sales
FROM sales
JOIN item ON i_item_sk = item_sk
JOIN date_dim ON d_date_sk = date_sk
JOIN customer_address ON ca_address_sk = addr_sk
WHERE i_manufact_id IN (SELECT i_manufact_id FROM item WHERE i_category = 'Electronics')
  AND d_year = 1998 AND d_moy = 5
  AND ca_gmt_offset = -5
GROUP BY i_manufact_id
ORDER BY total_sales, i_manufact_id
LIMIT 100;
