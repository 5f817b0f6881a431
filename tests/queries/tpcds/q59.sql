WITH weeks AS (
    SELECT d_week_seq, ss_store_sk,
           sum(ss_sales_price) FILTER (d_day_name = 'Sunday') AS sun,
           sum(ss_sales_price) FILTER (d_day_name = 'Monday') AS mon,
           sum(ss_sales_price) FILTER (d_day_name = 'Tuesday') AS tue,
           sum(ss_sales_price) FILTER (d_day_name = 'Wednesday') AS wed,
           sum(ss_sales_price) FILTER (d_day_name = 'Thursday') AS thu,
           sum(ss_sales_price) FILTER (d_day_name = 'Friday') AS fri,
           sum(ss_sales_price) FILTER (d_day_name = 'Saturday') AS sat
    FROM store_sales JOIN date_dim ON d_date_sk = ss_sold_date_sk
    GROUP BY d_week_seq, ss_store_sk)
SELECT y.s_store_name, y.s_store_id, y.d_week_seq,
       y.sun / x.sun AS sun, y.mon / x.mon AS mon, y.tue / x.tue AS tue, y.wed / x.wed AS wed,
       y.thu / x.thu AS thu, y.fri / x.fri AS fri, y.sat / x.sat AS sat
FROM (
    SELECT s_store_name, s_store_id, w.*
    FROM weeks w JOIN store ON s_store_sk = ss_store_sk JOIN date_dim d ON d.d_week_seq = w.d_week_seq
    WHERE d_month_seq BETWEEN 1212 AND 1223) y
JOIN (
    SELECT s_store_id, w.*
    FROM weeks w JOIN store ON s_store_sk = ss_store_sk JOIN date_dim d ON d.d_week_seq = w.d_week_seq
    WHERE d_month_seq BETWEEN 1224 AND 1235) x
    ON x.s_store_id = y.s_store_id AND y.d_week_seq = x.d_week_seq - 52
ORDER BY y.s_store_name, y.s_store_id, y.d_week_seq, sun, mon, tue, wed, thu, fri, sat
LIMIT 100;
