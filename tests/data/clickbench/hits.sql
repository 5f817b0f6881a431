-- The table of the queries from a file of synthetic page views (`HITS`), in which what the queries look for occurs.
CREATE TABLE hits AS
SELECT * REPLACE (
    CASE WHEN CounterID < 200 THEN 62 ELSE CounterID END AS CounterID,
    CASE WHEN WatchID % 100 = 7 THEN 435090932899640449 ELSE UserID END AS UserID,
    CASE WHEN WatchID % 10 = 3 AND Referer <> '' THEN Referer ELSE URL END AS URL,
    CASE WHEN WatchID % 9 = 1 THEN Title || ' - Google' ELSE Title END AS Title,
    CASE WHEN WatchID % 3 = 2 THEN 3594120000172545465 ELSE RefererHash END AS RefererHash,
    CASE WHEN WatchID % 2 = 1 THEN 2868770270353813622 ELSE URLHash END AS URLHash)
FROM 'HITS';
