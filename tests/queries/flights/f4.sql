-- The share of flights that leave over an hour late, per airport and quarter.
SELECT origin, extract(quarter FROM time_hour) AS quarter,
       sum(CASE WHEN dep_delay > 60 THEN 1 ELSE 0 END) AS late, count(*) AS flights,
       round(100.0 * sum(CASE WHEN dep_delay > 60 THEN 1 ELSE 0 END) / count(*), 2) AS percent
FROM 'examples/data/flights.parquet'
GROUP BY origin, extract(quarter FROM time_hour)
ORDER BY origin, quarter;
