-- ties: UserID, SearchPhrase
SELECT UserID, SearchPhrase, count(*)
FROM hits
GROUP BY UserID, SearchPhrase
LIMIT 10;
