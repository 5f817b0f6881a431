SELECT i_item_id, i_item_desc, s_store_id, s_store_name,
       sum(ss_net_profit) AS store_profit, sum(sr_net_loss) AS store_loss, sum(cs_net_profit) AS catalog_profit
FROM store_sales
JOIN store_returns
    ON sr_customer_sk = ss_customer_sk AND sr_item_sk = ss_item_sk AND sr_ticket_number = ss_ticket_number
JOIN catalog_sales ON cs_bill_customer_sk = sr_customer_sk AND cs_item_sk = sr_item_sk
JOIN date_dim d1 ON d1.d_date_sk = ss_sold_date_sk AND d1.d_moy = 1 AND d1.d_year = 2000
JOIN date_dim d2 ON d2.d_date_sk = sr_returned_date_sk AND d2.d_moy BETWEEN 1 AND 12 AND d2.d_year = 2000
JOIN date_dim d3 ON d3.d_date_sk = cs_sold_date_sk AND d3.d_moy BETWEEN 1 AND 12 AND d3.d_year = 2000
JOIN store ON s_store_sk = ss_store_sk
JOIN item ON i_item_sk = ss_item_sk
GROUP BY i_item_id, i_item_desc, s_store_id, s_store_name
ORDER BY i_item_id, i_item_desc, s_store_id, s_store_name
LIMIT 100;
