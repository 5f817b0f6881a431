SELECT sum(s) FROM (SELECT rank() OVER (PARTITION BY l_shipmode ORDER BY l_extendedprice DESC) AS s FROM lineitem) t;
