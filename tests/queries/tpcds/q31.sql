WITH ss AS (
    SELECT ca_county, d_qoy, sum(ss_ext_sales_price) AS sales
    FROM store_sales
    JOIN date_dim ON d_date_sk = ss_sold_date_sk
    JOIN customer_address ON ca_address_sk = ss_addr_sk
    WHERE d_year = 2000
    GROUP BY ca_county, d_qoy),
ws AS (
    SELECT ca_county, d_qoy, sum(ws_ext_sales_price) AS sales
    FROM web_sales
    JOIN date_dim ON d_date_sk = ws_sold_date_sk
    JOIN customer_address ON ca_address_sk = ws_bill_addr_sk
    WHERE d_year = 2000
    GROUP BY ca_county, d_qoy)
SELECT s1.ca_county, 2000 AS d_year,
       w2.sales / w1.sales AS web_q1_q2, s2.sales / s1.sales AS store_q1_q2,
       w3.sales / w2.sales AS web_q2_q3, s3.sales / s2.sales AS store_q2_q3
FROM ss s1
JOIN ss s2 ON s2.ca_county = s1.ca_county AND s2.d_qoy = 2
JOIN ss s3 ON s3.ca_county = s1.ca_county AND s3.d_qoy = 3
JOIN ws w1 ON w1.ca_county = s1.ca_county AND w1.d_qoy = 1
JOIN ws w2 ON w2.ca_county = s1.ca_county AND w2.d_qoy = 2
JOIN ws w3 ON w3.ca_county = s1.ca_county AND w3.d_qoy = 3
WHERE s1.d_qoy = 1
  AND CASE WHEN w1.sales > 0 THEN w2.sales / w1.sales END > CASE WHEN s1.sales > 0 THEN s2.sales / s1.sales END
  AND CASE WHEN w2.sales > 0 THEN w3.sales / w2.sales END > CASE WHEN s2.sales > 0 THEN s3.sales / s2.sales END
ORDER BY s1.ca_county;
