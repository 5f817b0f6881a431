WITH orders AS (
    SELECT count(*) FILTER (WHERE t_hour BETWEEN 8 AND 9) AS am, count(*) FILTER (WHERE t_hour BETWEEN 19 AND 20) AS pm
    FROM web_sales
    JOIN household_demographics ON hd_demo_sk = ws_ship_hdemo_sk
    JOIN time_dim ON t_time_sk = ws_sold_time_sk
    JOIN web_page ON wp_web_page_sk = ws_web_page_sk
    WHERE hd_dep_count = 6 AND wp_char_count BETWEEN 5000 AND 5200)
SELECT CASE WHEN pm <> 0 THEN am::DECIMAL(15, 4) / pm::DECIMAL(15, 4) END AS am_pm_ratio
FROM orders;
