SELECT c_last_name, c_first_name, now.ca_city, bought_city, ss_ticket_number, amount, profit
FROM (
    SELECT ss_ticket_number, ss_customer_sk, ca_city AS bought_city, sum(ss_coupon_amt) AS amount,
           sum(ss_net_profit) AS profit
    FROM store_sales
    JOIN date_dim ON d_date_sk = ss_sold_date_sk
    JOIN store ON s_store_sk = ss_store_sk
    JOIN household_demographics ON hd_demo_sk = ss_hdemo_sk
    JOIN customer_address ON ca_address_sk = ss_addr_sk
    WHERE (hd_dep_count = 4 OR hd_vehicle_count = 3)
      AND d_dow IN (6, 0)
      AND d_year IN (1999, 2000, 2001)
      AND s_city IN ('Fairview', 'Midway')
    GROUP BY ss_ticket_number, ss_customer_sk, ss_addr_sk, ca_city) tickets
JOIN customer ON c_customer_sk = ss_customer_sk
JOIN customer_address now ON now.ca_address_sk = c_current_addr_sk
WHERE now.ca_city <> bought_city
ORDER BY c_last_name, c_first_name, now.ca_city, bought_city, ss_ticket_number, amount, profit
LIMIT 100;
