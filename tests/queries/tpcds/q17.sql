SELECT i_item_id, i_item_desc, s_state,
       count(ss_quantity) AS sold, avg(ss_quantity) AS sold_avg, stddev_samp(ss_quantity) AS sold_dev,
       stddev_samp(ss_quantity) / avg(ss_quantity) AS sold_cov,
       count(sr_return_quantity) AS back, avg(sr_return_quantity) AS back_avg,
       stddev_samp(sr_return_quantity) AS back_dev,
       stddev_samp(sr_return_quantity) / avg(sr_return_quantity) AS back_cov,
       count(cs_quantity) AS catalog, avg(cs_quantity) AS catalog_avg, stddev_samp(cs_quantity) AS catalog_dev,
       stddev_samp(cs_quantity) / avg(cs_quantity) AS catalog_cov
FROM store_sales
JOIN store_returns
    ON sr_customer_sk = ss_customer_sk AND sr_item_sk = ss_item_sk AND sr_ticket_number = ss_ticket_number
JOIN catalog_sales ON cs_bill_customer_sk = sr_customer_sk AND cs_item_sk = sr_item_sk
JOIN date_dim d1 ON d1.d_date_sk = ss_sold_date_sk
JOIN date_dim d2 ON d2.d_date_sk = sr_returned_date_sk
JOIN date_dim d3 ON d3.d_date_sk = cs_sold_date_sk
JOIN store ON s_store_sk = ss_store_sk
JOIN item ON i_item_sk = ss_item_sk
WHERE d1.d_quarter_name = '1998Q2'
  AND d2.d_quarter_name IN ('1998Q2', '1998Q3', '1998Q4')
  AND d3.d_quarter_name IN ('1998Q2', '1998Q3', '1998Q4')
GROUP BY i_item_id, i_item_desc, s_state
ORDER BY i_item_id, i_item_desc, s_state
LIMIT 100;
