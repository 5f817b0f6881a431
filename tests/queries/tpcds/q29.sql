SELECT i_item_id, i_item_desc, s_store_id, s_store_name,
       sum(ss_quantity) AS sold, sum(sr_return_quantity) AS returned, sum(cs_quantity) AS catalog
FROM store_sales, store_returns, catalog_sales, date_dim d1, date_dim d2, date_dim d3, store, item
WHERE d1.d_date_sk = ss_sold_date_sk AND d1.d_moy = 9 AND d1.d_year = 1999
  AND d2.d_date_sk = sr_returned_date_sk AND d2.d_moy BETWEEN 9 AND 12 AND d2.d_year = 1999
  AND d3.d_date_sk = cs_sold_date_sk AND d3.d_year IN (1999, 2000, 2001)
  AND i_item_sk = ss_item_sk
  AND s_store_sk = ss_store_sk
  AND ss_customer_sk = sr_customer_sk AND ss_item_sk = sr_item_sk AND ss_ticket_number = sr_ticket_number
  AND sr_customer_sk = cs_bill_customer_sk AND sr_item_sk = cs_item_sk
GROUP BY i_item_id, i_item_desc, s_store_id, s_store_name
ORDER BY i_item_id, i_item_desc, s_store_id, s_store_name
LIMIT 100;
