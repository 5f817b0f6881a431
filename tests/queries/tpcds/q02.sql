WITH sales AS (
    SELECT ws_sold_date_sk AS date_sk, ws_ext_sales_price AS price FROM web_sales
    UNION ALL
    SELECT cs_sold_date_sk, cs_ext_sales_price FROM catalog_sales),
weeks AS (
    SELECT d_week_seq,
           sum(price) FILTER (WHERE d_day_name = 'Sunday') AS sun,
           sum(price) FILTER (WHERE d_day_name = 'Monday') AS mon,
           sum(price) FILTER (WHERE d_day_name = 'Tuesday') AS tue,
           sum(price) FILTER (WHERE d_day_name = 'Wednesday') AS wed,
           sum(price) FILTER (WHERE d_day_name = 'Thursday') AS thu,
           sum(price) FILTER (WHERE d_day_name = 'Friday') AS fri,
           sum(price) FILTER (WHERE d_day_name = 'Saturday') AS sat
    FROM sales JOIN date_dim ON d_date_sk = date_sk
    GROUP BY d_week_seq)
SELECT y.d_week_seq,
       round(y.sun / z.sun, 2) AS sun, round(y.mon / z.mon, 2) AS mon,
       round(y.tue / z.tue, 2) AS tue, round(y.wed / z.wed, 2) AS wed,
       round(y.thu / z.thu, 2) AS thu, round(y.fri / z.fri, 2) AS fri,
       round(y.sat / z.sat, 2) AS sat
FROM weeks y
JOIN date_dim dy ON dy.d_week_seq = y.d_week_seq AND dy.d_year = 2001
JOIN weeks z ON y.d_week_seq = z.d_week_seq - 53
JOIN date_dim dz ON dz.d_week_seq = z.d_week_seq AND dz.d_year = 2002
ORDER BY y.d_week_seq;
