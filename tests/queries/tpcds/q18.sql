SELECT i_item_id, ca_country, ca_state, ca_county,
       avg(cs_quantity::DECIMAL(12, 2)) AS quantity, avg(cs_list_price::DECIMAL(12, 2)) AS list_price,
       avg(cs_coupon_amt::DECIMAL(12, 2)) AS coupon, avg(cs_sales_price::DECIMAL(12, 2)) AS sales_price,
       avg(cs_net_profit::DECIMAL(12, 2)) AS profit, avg(c_birth_year::DECIMAL(12, 2)) AS birth_year,
       avg(cd1.cd_dep_count::DECIMAL(12, 2)) AS dependents
FROM catalog_sales
JOIN customer_demographics cd1 ON cd1.cd_demo_sk = cs_bill_cdemo_sk
JOIN customer ON c_customer_sk = cs_bill_customer_sk
JOIN customer_demographics cd2 ON cd2.cd_demo_sk = c_current_cdemo_sk
JOIN customer_address ON ca_address_sk = c_current_addr_sk
JOIN date_dim ON d_date_sk = cs_sold_date_sk
JOIN item ON i_item_sk = cs_item_sk
WHERE cd1.cd_gender = 'F' AND cd1.cd_education_status = 'Unknown'
  AND c_birth_month IN (1, 2, 6, 8, 9, 12)
  AND d_year = 1998
  AND ca_state IN ('MS', 'IN', 'ND', 'OK', 'NM', 'VA')
GROUP BY ROLLUP (i_item_id, ca_country, ca_state, ca_county)
ORDER BY ca_country, ca_state, ca_county, i_item_id
LIMIT 100;
