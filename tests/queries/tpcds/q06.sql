SELECT ca_state AS state, count(*) AS cnt
FROM store_sales
JOIN customer ON c_customer_sk = ss_customer_sk
JOIN customer_address ON ca_address_sk = c_current_addr_sk
JOIN date_dim ON d_date_sk = ss_sold_date_sk
JOIN item i ON i_item_sk = ss_item_sk
WHERE d_month_seq = (SELECT DISTINCT d_month_seq FROM date_dim WHERE d_year = 2001 AND d_moy = 1)
  AND i_current_price > (SELECT 1.2 * avg(j.i_current_price) FROM item j WHERE j.i_category = i.i_category)
GROUP BY ca_state
HAVING count(*) >= 10
ORDER BY cnt, ca_state
LIMIT 100;
