SELECT sum(s) FROM (SELECT avg(l_partkey) OVER (ORDER BY l_orderkey, l_linenumber ROWS BETWEEN 50 PRECEDING AND 50 FOLLOWING) AS s FROM lineitem) t;
