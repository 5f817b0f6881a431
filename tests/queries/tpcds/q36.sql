SELECT sum(ss_net_profit) * 1.0000 / sum(ss_ext_sales_price) AS gross_margin, i_category, i_class,
       grouping(i_category) + grouping(i_class) AS hierarchy,
       rank() OVER (
           PARTITION BY grouping(i_category) + grouping(i_class),
                        CASE WHEN grouping(i_class) = 0 THEN i_category END
           ORDER BY sum(ss_net_profit) * 1.0000 / sum(ss_ext_sales_price)) AS rank_within_parent
FROM store_sales
JOIN date_dim ON d_date_sk = ss_sold_date_sk
JOIN item ON i_item_sk = ss_item_sk
JOIN store ON s_store_sk = ss_store_sk
WHERE d_year = 2001 AND s_state = 'TN'
GROUP BY ROLLUP (i_category, i_class)
ORDER BY hierarchy DESC, CASE WHEN hierarchy = 0 THEN i_category END, rank_within_parent, i_category, i_class
LIMIT 100;
