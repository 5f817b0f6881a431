WITH shoppers AS (
    SELECT 2 * t_hour + CASE WHEN t_minute >= 30 THEN 1 ELSE 0 END AS half_hour
    FROM store_sales
    JOIN household_demographics ON hd_demo_sk = ss_hdemo_sk
    JOIN time_dim ON t_time_sk = ss_sold_time_sk
    JOIN store ON s_store_sk = ss_store_sk
    WHERE (hd_dep_count = 4 AND hd_vehicle_count <= 6
           OR hd_dep_count = 2 AND hd_vehicle_count <= 4
           OR hd_dep_count = 0 AND hd_vehicle_count <= 2)
      AND s_store_name = 'ese')
SELECT (SELECT count(*) FROM shoppers WHERE half_hour = 17) AS h8_30_to_9,
       (SELECT count(*) FROM shoppers WHERE half_hour = 18) AS h9_to_9_30,
       (SELECT count(*) FROM shoppers WHERE half_hour = 19) AS h9_30_to_10,
       (SELECT count(*) FROM shoppers WHERE half_hour = 20) AS h10_to_10_30,
       (SELECT count(*) FROM shoppers WHERE half_hour = 21) AS h10_30_to_11,
       (SELECT count(*) FROM shoppers WHERE half_hour = 22) AS h11_to_11_30,
       (SELECT count(*) FROM shoppers WHERE half_hour = 23) AS h11_30_to_12,
       (SELECT count(*) FROM shoppers WHERE half_hour = 24) AS h12_to_12_30;
