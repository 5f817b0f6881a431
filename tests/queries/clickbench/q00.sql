SELECT count(*) FROM hits;
