SELECT sum(s) FROM (SELECT median(l_partkey) OVER (ORDER BY l_orderkey, l_linenumber ROWS BETWEEN 100 PRECEDING AND CURRENT ROW) AS s FROM lineitem) t;
