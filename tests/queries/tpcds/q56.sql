WITH wanted AS (
    SELECT i_item_sk, i_item_id FROM item
    WHERE i_item_id IN (SELECT i_item_id FROM item WHERE i_color IN ('slate', 'blanched', 'burnished'))),
months AS (
    SELECT d_date_sk FROM date_dim WHERE d_year = 2001 AND d_moy = 2),
places AS (
    SELECT ca_address_sk FROM customer_address WHERE ca_gmt_offset = -5)
SELECT i_item_id, sum(sales) AS total_sales
FROM (
    SELECT i_item_id, sum(ss_ext_sales_price) AS sales
    FROM store_sales, wanted, months, places
    WHERE ss_item_sk = i_item_sk AND ss_sold_date_sk = d_date_sk AND ss_addr_sk = ca_address_sk
    GROUP BY i_item_id
    UNION ALL
    SELECT i_item_id, sum(cs_ext_sales_price)
    FROM catalog_sales, wanted, months, places
    WHERE cs_item_sk = i_item_sk AND cs_sold_date_sk = d_date_sk AND cs_bill_addr_sk = ca_address_sk
    GROUP BY i_item_id
    UNION ALL
    SELECT i_item_id, sum(ws_ext_sales_price)
    FROM web_sales, wanted, months, places
    WHERE ws_item_sk = i_item_sk AND ws_sold_date_sk = d_date_sk AND ws_bill_addr_sk = ca_address_sk
    GROUP BY i_item_id) channels
GROUP BY i_item_id
ORDER BY total_sales, i_item_id
LIMIT 100;
