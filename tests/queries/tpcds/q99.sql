SELECT substring(w_warehouse_name, 1, 20) AS warehouse, sm_type, lower(cc_name) AS center,
       sum(CASE WHEN days <= 30 THEN 1 ELSE 0 END) AS days_30,
       sum(CASE WHEN days > 30 AND days <= 60 THEN 1 ELSE 0 END) AS days_60,
       sum(CASE WHEN days > 60 AND days <= 90 THEN 1 ELSE 0 END) AS days_90,
       sum(CASE WHEN days > 90 AND days <= 120 THEN 1 ELSE 0 END) AS days_120,
       sum(CASE WHEN days > 120 THEN 1 ELSE 0 END) AS days_more
FROM (SELECT *, cs_ship_date_sk - cs_sold_date_sk AS days FROM catalog_sales) sales
JOIN warehouse ON w_warehouse_sk = cs_warehouse_sk
JOIN ship_mode ON sm_ship_mode_sk = cs_ship_mode_sk
JOIN call_center ON cc_call_center_sk = cs_call_center_sk
JOIN date_dim ON d_date_sk = cs_ship_date_sk
WHERE d_month_seq BETWEEN 1200 AND 1211
GROUP BY substring(w_warehouse_name, 1, 20), sm_type, cc_name
ORDER BY warehouse, sm_type, center
LIMIT 100;
