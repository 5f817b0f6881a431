SELECT sum(s) FROM (SELECT row_number() OVER (PARTITION BY l_suppkey ORDER BY l_extendedprice) AS s FROM lineitem) t;
