SELECT sum(s) FROM (SELECT sum(l_partkey) OVER (PARTITION BY l_suppkey ORDER BY l_orderkey, l_linenumber) AS s FROM lineitem) t;
