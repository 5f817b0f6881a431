SELECT s_store_name, s_company_id, s_street_number, s_street_name, s_street_type, s_suite_number, s_city,
       s_county, s_state, s_zip,
       count(*) FILTER (WHERE sr_returned_date_sk - ss_sold_date_sk <= 30) AS days_30,
       count(*) FILTER (WHERE sr_returned_date_sk - ss_sold_date_sk BETWEEN 31 AND 60) AS days_60,
       count(*) FILTER (WHERE sr_returned_date_sk - ss_sold_date_sk BETWEEN 61 AND 90) AS days_90,
       count(*) FILTER (WHERE sr_returned_date_sk - ss_sold_date_sk BETWEEN 91 AND 120) AS days_120,
       count(*) FILTER (WHERE sr_returned_date_sk - ss_sold_date_sk > 120) AS days_more
FROM store_sales
JOIN store_returns
    ON sr_ticket_number = ss_ticket_number AND sr_item_sk = ss_item_sk AND sr_customer_sk = ss_customer_sk
JOIN store ON s_store_sk = ss_store_sk
JOIN date_dim d1 ON d1.d_date_sk = ss_sold_date_sk
JOIN date_dim d2 ON d2.d_date_sk = sr_returned_date_sk
WHERE d2.d_year = 2001 AND d2.d_moy = 8
GROUP BY s_store_name, s_company_id, s_street_number, s_street_name, s_street_type, s_suite_number, s_city,
         s_county, s_state, s_zip
ORDER BY s_store_name, s_company_id, s_street_number, s_street_name, s_street_type, s_suite_number, s_city,
         s_county, s_state, s_zip
LIMIT 100;
