-- Which airlines depart late, on average?
SELECT a.name, count(*) AS flights, avg(f.dep_delay) AS avg_delay, max(f.dep_delay) AS worst
FROM 'examples/data/flights.parquet' f
JOIN 'examples/data/airlines.parquet' a ON f.carrier = a.carrier
WHERE f.dep_delay IS NOT NULL
GROUP BY a.name
ORDER BY avg_delay DESC
LIMIT 5;
