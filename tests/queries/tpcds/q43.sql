SELECT s_store_name, s_store_id,
       sum(CASE d_day_name WHEN 'Sunday' THEN ss_sales_price END) AS sun,
       sum(CASE d_day_name WHEN 'Monday' THEN ss_sales_price END) AS mon,
       sum(CASE d_day_name WHEN 'Tuesday' THEN ss_sales_price END) AS tue,
       sum(CASE d_day_name WHEN 'Wednesday' THEN ss_sales_price END) AS wed,
       sum(CASE d_day_name WHEN 'Thursday' THEN ss_sales_price END) AS thu,
       sum(CASE d_day_name WHEN 'Friday' THEN ss_sales_price END) AS fri,
       sum(CASE d_day_name WHEN 'Saturday' THEN ss_sales_price END) AS sat
FROM store_sales
JOIN date_dim ON d_date_sk = ss_sold_date_sk
JOIN store ON s_store_sk = ss_store_sk
WHERE s_gmt_offset = -5 AND d_year = 2000
GROUP BY s_store_name, s_store_id
ORDER BY s_store_name, s_store_id
LIMIT 100;
