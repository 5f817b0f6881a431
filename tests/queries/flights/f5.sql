-- Does rain delay departures? Flights joined with the weather at their airport and hour.
SELECT w.precip > 0 AS rain, count(*) AS flights, avg(f.dep_delay) AS avg_delay
FROM 'examples/data/flights.parquet' f
JOIN 'examples/data/weather.parquet' w ON f.origin = w.origin AND f.time_hour = w.time_hour
WHERE f.dep_delay IS NOT NULL
GROUP BY w.precip > 0
ORDER BY rain;
