-- The ten busiest routes and how far they go.
SELECT origin, dest, count(*) AS flights, min(distance) AS miles, count(DISTINCT carrier) AS carriers
FROM 'examples/data/flights.parquet'
GROUP BY origin, dest
ORDER BY flights DESC, origin, dest
LIMIT 10;
