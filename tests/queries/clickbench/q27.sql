-- ties: CounterID
SELECT CounterID, avg(strlen(URL)) AS l, count(*) AS c
FROM hits
WHERE URL <> ''
GROUP BY CounterID
HAVING count(*) > 1000
ORDER BY l DESC
LIMIT 25;
