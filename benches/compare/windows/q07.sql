SELECT sum(s) FROM (SELECT min(l_partkey) OVER (ORDER BY l_orderkey, l_linenumber ROWS BETWEEN 500 PRECEDING AND 500 FOLLOWING) AS s FROM lineitem) t;
