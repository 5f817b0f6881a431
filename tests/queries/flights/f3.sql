-- How do delays build up over the day?
SELECT hour, count(*) AS planned, count(dep_time) AS flown, avg(arr_delay) AS avg_arrival_delay,
       stddev(arr_delay) AS spread
FROM 'examples/data/flights.parquet'
GROUP BY hour
ORDER BY hour;
