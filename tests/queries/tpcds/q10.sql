SELECT cd_gender, cd_marital_status, cd_education_status, count(*) AS cnt1, cd_purchase_estimate, count(*) AS cnt2,
       cd_credit_rating, count(*) AS cnt3, cd_dep_count, count(*) AS cnt4, cd_dep_employed_count, count(*) AS cnt5,
       cd_dep_college_count, count(*) AS cnt6
FROM customer
JOIN customer_address ON ca_address_sk = c_current_addr_sk
JOIN customer_demographics ON cd_demo_sk = c_current_cdemo_sk
WHERE ca_county IN ('Madison County', 'Crawford County', 'Grant County', 'Washington County', 'Perry County')
  AND EXISTS (
      SELECT 1 FROM store_sales JOIN date_dim ON d_date_sk = ss_sold_date_sk
      WHERE ss_customer_sk = c_customer_sk AND d_year = 1999 AND d_moy BETWEEN 9 AND 12)
  AND (EXISTS (
          SELECT 1 FROM web_sales JOIN date_dim ON d_date_sk = ws_sold_date_sk
          WHERE ws_bill_customer_sk = c_customer_sk AND d_year = 1999 AND d_moy BETWEEN 9 AND 12)
       OR EXISTS (
          SELECT 1 FROM catalog_sales JOIN date_dim ON d_date_sk = cs_sold_date_sk
          WHERE cs_ship_customer_sk = c_customer_sk AND d_year = 1999 AND d_moy BETWEEN 9 AND 12))
GROUP BY cd_gender, cd_marital_status, cd_education_status, cd_purchase_estimate, cd_credit_rating,
         cd_dep_count, cd_dep_employed_count, cd_dep_college_count
ORDER BY cd_gender, cd_marital_status, cd_education_status, cd_purchase_estimate, cd_credit_rating,
         cd_dep_count, cd_dep_employed_count, cd_dep_college_count
LIMIT 100;
