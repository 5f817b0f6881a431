SELECT sum(s) FROM (SELECT sum(l_partkey) OVER (PARTITION BY l_suppkey) AS s FROM lineitem) t;
