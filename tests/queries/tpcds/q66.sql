SELECT w_warehouse_name, w_warehouse_sq_ft, w_city, w_county, w_state, w_country, 'DHL,BARIAN' AS carriers, d_year,
       sum(coalesce(jan_sales, 0)) AS jan_sales,
       sum(coalesce(feb_sales, 0)) AS feb_sales,
       sum(coalesce(mar_sales, 0)) AS mar_sales,
       sum(coalesce(apr_sales, 0)) AS apr_sales,
       sum(coalesce(may_sales, 0)) AS may_sales,
       sum(coalesce(jun_sales, 0)) AS jun_sales,
       sum(coalesce(jul_sales, 0)) AS jul_sales,
       sum(coalesce(aug_sales, 0)) AS aug_sales,
       sum(coalesce(sep_sales, 0)) AS sep_sales,
       sum(coalesce(oct_sales, 0)) AS oct_sales,
       sum(coalesce(nov_sales, 0)) AS nov_sales,
       sum(coalesce(dec_sales, 0)) AS dec_sales,
       sum(coalesce(jan_sales, 0)) / w_warehouse_sq_ft AS jan_sales_per_sq_ft,
       sum(coalesce(feb_sales, 0)) / w_warehouse_sq_ft AS feb_sales_per_sq_ft,
       sum(coalesce(mar_sales, 0)) / w_warehouse_sq_ft AS mar_sales_per_sq_ft,
       sum(coalesce(apr_sales, 0)) / w_warehouse_sq_ft AS apr_sales_per_sq_ft,
       sum(coalesce(may_sales, 0)) / w_warehouse_sq_ft AS may_sales_per_sq_ft,
       sum(coalesce(jun_sales, 0)) / w_warehouse_sq_ft AS jun_sales_per_sq_ft,
       sum(coalesce(jul_sales, 0)) / w_warehouse_sq_ft AS jul_sales_per_sq_ft,
       sum(coalesce(aug_sales, 0)) / w_warehouse_sq_ft AS aug_sales_per_sq_ft,
       sum(coalesce(sep_sales, 0)) / w_warehouse_sq_ft AS sep_sales_per_sq_ft,
       sum(coalesce(oct_sales, 0)) / w_warehouse_sq_ft AS oct_sales_per_sq_ft,
       sum(coalesce(nov_sales, 0)) / w_warehouse_sq_ft AS nov_sales_per_sq_ft,
       sum(coalesce(dec_sales, 0)) / w_warehouse_sq_ft AS dec_sales_per_sq_ft,
       sum(coalesce(jan_net, 0)) AS jan_net,
       sum(coalesce(feb_net, 0)) AS feb_net,
       sum(coalesce(mar_net, 0)) AS mar_net,
       sum(coalesce(apr_net, 0)) AS apr_net,
       sum(coalesce(may_net, 0)) AS may_net,
       sum(coalesce(jun_net, 0)) AS jun_net,
       sum(coalesce(jul_net, 0)) AS jul_net,
       sum(coalesce(aug_net, 0)) AS aug_net,
       sum(coalesce(sep_net, 0)) AS sep_net,
       sum(coalesce(oct_net, 0)) AS oct_net,
       sum(coalesce(nov_net, 0)) AS nov_net,
       sum(coalesce(dec_net, 0)) AS dec_net
FROM (
    SELECT w_warehouse_name, w_warehouse_sq_ft, w_city, w_county, w_state, w_country, d_year,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 1) AS jan_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 2) AS feb_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 3) AS mar_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 4) AS apr_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 5) AS may_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 6) AS jun_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 7) AS jul_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 8) AS aug_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 9) AS sep_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 10) AS oct_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 11) AS nov_sales,
           sum(ws_ext_sales_price * ws_quantity) FILTER (WHERE d_moy = 12) AS dec_sales,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 1) AS jan_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 2) AS feb_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 3) AS mar_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 4) AS apr_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 5) AS may_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 6) AS jun_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 7) AS jul_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 8) AS aug_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 9) AS sep_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 10) AS oct_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 11) AS nov_net,
           sum(ws_net_paid * ws_quantity) FILTER (WHERE d_moy = 12) AS dec_net
    FROM web_sales
    JOIN warehouse ON w_warehouse_sk = ws_warehouse_sk
    JOIN date_dim ON d_date_sk = ws_sold_date_sk
    JOIN time_dim ON t_time_sk = ws_sold_time_sk
    JOIN ship_mode ON sm_ship_mode_sk = ws_ship_mode_sk
    WHERE d_year = 2001 AND t_time BETWEEN 30838 AND 59638 AND sm_carrier IN ('DHL', 'BARIAN')
    GROUP BY w_warehouse_name, w_warehouse_sq_ft, w_city, w_county, w_state, w_country, d_year
    UNION ALL
    SELECT w_warehouse_name, w_warehouse_sq_ft, w_city, w_county, w_state, w_country, d_year,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 1) AS jan_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 2) AS feb_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 3) AS mar_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 4) AS apr_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 5) AS may_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 6) AS jun_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 7) AS jul_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 8) AS aug_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 9) AS sep_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 10) AS oct_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 11) AS nov_sales,
           sum(cs_sales_price * cs_quantity) FILTER (WHERE d_moy = 12) AS dec_sales,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 1) AS jan_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 2) AS feb_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 3) AS mar_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 4) AS apr_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 5) AS may_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 6) AS jun_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 7) AS jul_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 8) AS aug_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 9) AS sep_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 10) AS oct_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 11) AS nov_net,
           sum(cs_net_paid_inc_tax * cs_quantity) FILTER (WHERE d_moy = 12) AS dec_net
    FROM catalog_sales
    JOIN warehouse ON w_warehouse_sk = cs_warehouse_sk
    JOIN date_dim ON d_date_sk = cs_sold_date_sk
    JOIN time_dim ON t_time_sk = cs_sold_time_sk
    JOIN ship_mode ON sm_ship_mode_sk = cs_ship_mode_sk
    WHERE d_year = 2001 AND t_time BETWEEN 30838 AND 59638 AND sm_carrier IN ('DHL', 'BARIAN')
    GROUP BY w_warehouse_name, w_warehouse_sq_ft, w_city, w_county, w_state, w_country, d_year) channels
GROUP BY w_warehouse_name, w_warehouse_sq_ft, w_city, w_county, w_state, w_country, d_year
ORDER BY w_warehouse_name, w_warehouse_sq_ft
LIMIT 100;
