SELECT *
FROM (
    SELECT i_manufact_id, sum(ss_sales_price) AS sales,
           avg(sum(ss_sales_price)) OVER (PARTITION BY i_manufact_id) AS average
    FROM item
    JOIN store_sales ON ss_item_sk = i_item_sk
    JOIN date_dim ON d_date_sk = ss_sold_date_sk
    JOIN store ON s_store_sk = ss_store_sk
    WHERE d_month_seq IN (1200, 1201, 1202, 1203, 1204, 1205, 1206, 1207, 1208, 1209, 1210, 1211)
      AND (i_category IN ('Books', 'Children', 'Electronics')
               AND i_class IN ('personal', 'portable', 'reference', 'self-help')
               AND i_brand IN ('scholaramalgamalg #14', 'scholaramalgamalg #7', 'exportiunivamalg #9',
                               'scholaramalgamalg #9')
           OR i_category IN ('Women', 'Music', 'Men')
               AND i_class IN ('accessories', 'classical', 'fragrances', 'pants')
               AND i_brand IN ('amalgimporto #1', 'edu packscholar #1', 'exportiimporto #1', 'importoamalg #1'))
    GROUP BY i_manufact_id, d_qoy) quarters
WHERE CASE WHEN average > 0 THEN abs(sales - average) / average END > 0.1
ORDER BY average, sales, i_manufact_id
LIMIT 100;
