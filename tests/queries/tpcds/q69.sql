SELECT cd_gender, cd_marital_status, cd_education_status, count(*) AS cnt1, cd_purchase_estimate,
       count(*) AS cnt2, cd_credit_rating, count(*) AS cnt3
FROM customer c
SEMI JOIN (
    SELECT ss_customer_sk FROM store_sales JOIN date_dim ON d_date_sk = ss_sold_date_sk
    WHERE d_year = 2001 AND d_moy BETWEEN 4 AND 6) s ON s.ss_customer_sk = c.c_customer_sk
ANTI JOIN (
    SELECT ws_bill_customer_sk FROM web_sales JOIN date_dim ON d_date_sk = ws_sold_date_sk
    WHERE d_year = 2001 AND d_moy BETWEEN 4 AND 6) w ON w.ws_bill_customer_sk = c.c_customer_sk
ANTI JOIN (
    SELECT cs_ship_customer_sk FROM catalog_sales JOIN date_dim ON d_date_sk = cs_sold_date_sk
    WHERE d_year = 2001 AND d_moy BETWEEN 4 AND 6) o ON o.cs_ship_customer_sk = c.c_customer_sk
JOIN customer_address ON ca_address_sk = c.c_current_addr_sk
JOIN customer_demographics ON cd_demo_sk = c.c_current_cdemo_sk
WHERE ca_state IN ('KY', 'GA', 'NM')
GROUP BY cd_gender, cd_marital_status, cd_education_status, cd_purchase_estimate, cd_credit_rating
ORDER BY cd_gender, cd_marital_status, cd_education_status, cd_purchase_estimate, cd_credit_rating
LIMIT 100;
