WITH sales AS (
    SELECT 's' AS channel, ss_customer_sk AS customer_sk, ss_sold_date_sk AS date_sk,
           ss_ext_list_price - ss_ext_discount_amt AS net
    FROM store_sales
    UNION ALL
    SELECT 'w', ws_bill_customer_sk, ws_sold_date_sk, ws_ext_list_price - ws_ext_discount_amt
    FROM web_sales),
totals AS (
    SELECT channel, d_year, c_customer_id, c_first_name, c_last_name, c_preferred_cust_flag, sum(net) AS total
    FROM sales JOIN customer ON c_customer_sk = customer_sk JOIN date_dim ON d_date_sk = date_sk
    GROUP BY channel, d_year, c_customer_id, c_first_name, c_last_name, c_preferred_cust_flag,
             c_birth_country, c_login, c_email_address)
SELECT s2.c_customer_id, s2.c_first_name, s2.c_last_name, s2.c_preferred_cust_flag
FROM totals s1
JOIN totals s2 USING (c_customer_id)
JOIN totals w1 USING (c_customer_id)
JOIN totals w2 USING (c_customer_id)
WHERE s1.channel = 's' AND s1.d_year = 1999 AND s1.total > 0
  AND s2.channel = 's' AND s2.d_year = 2000
  AND w1.channel = 'w' AND w1.d_year = 1999 AND w1.total > 0
  AND w2.channel = 'w' AND w2.d_year = 2000
  AND CASE WHEN w1.total > 0 THEN w2.total / w1.total ELSE 0 END
      > CASE WHEN s1.total > 0 THEN s2.total / s1.total ELSE 0 END
ORDER BY s2.c_customer_id, s2.c_first_name, s2.c_last_name, s2.c_preferred_cust_flag
LIMIT 100;
