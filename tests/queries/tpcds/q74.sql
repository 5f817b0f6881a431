WITH sales AS (
    SELECT 's' AS channel, ss_customer_sk AS customer_sk, ss_sold_date_sk AS date_sk, ss_net_paid AS paid
    FROM store_sales
    UNION ALL
    SELECT 'w', ws_bill_customer_sk, ws_sold_date_sk, ws_net_paid FROM web_sales),
totals AS (
    SELECT c_customer_id, c_first_name, c_last_name, channel, d_year AS year, sum(paid) AS total
    FROM sales JOIN customer ON c_customer_sk = customer_sk JOIN date_dim ON d_date_sk = date_sk
    WHERE d_year IN (1999, 2000)
    GROUP BY c_customer_id, c_first_name, c_last_name, channel, d_year)
SELECT s2.c_customer_id, s2.c_first_name, s2.c_last_name
FROM totals s1, totals s2, totals w1, totals w2
WHERE s2.c_customer_id = s1.c_customer_id
  AND w1.c_customer_id = s1.c_customer_id
  AND w2.c_customer_id = s1.c_customer_id
  AND (s1.channel, s1.year) = ('s', 1999) AND (s2.channel, s2.year) = ('s', 2000)
  AND (w1.channel, w1.year) = ('w', 1999) AND (w2.channel, w2.year) = ('w', 2000)
  AND s1.total > 0
  AND w1.total > 0
  AND CASE WHEN w1.total > 0 THEN w2.total / w1.total END > CASE WHEN s1.total > 0 THEN s2.total / s1.total END
ORDER BY s2.c_customer_id, s2.c_first_name, s2.c_last_name
LIMIT 100;
