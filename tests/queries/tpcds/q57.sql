WITH months AS (
    SELECT i_category, i_brand, cc_name, d_year, d_moy, sum(cs_sales_price) AS sales,
           avg(sum(cs_sales_price)) OVER (PARTITION BY i_category, i_brand, cc_name, d_year) AS average,
           rank() OVER (PARTITION BY i_category, i_brand, cc_name ORDER BY d_year, d_moy) AS rn
    FROM item
    JOIN catalog_sales ON cs_item_sk = i_item_sk
    JOIN date_dim ON d_date_sk = cs_sold_date_sk
    JOIN call_center ON cc_call_center_sk = cs_call_center_sk
    WHERE d_year = 1999 OR (d_year, d_moy) IN ((1998, 12), (2000, 1))
    GROUP BY i_category, i_brand, cc_name, d_year, d_moy)
SELECT m.i_category, m.i_brand, m.cc_name, m.d_year, m.d_moy, m.average, m.sales,
       p.sales AS previous, n.sales AS next
FROM months m, months p, months n
WHERE p.i_category = m.i_category AND p.i_brand = m.i_brand AND p.cc_name = m.cc_name AND p.rn = m.rn - 1
  AND n.i_category = m.i_category AND n.i_brand = m.i_brand AND n.cc_name = m.cc_name AND n.rn = m.rn + 1
  AND m.d_year = 1999
  AND m.average > 0
  AND CASE WHEN m.average > 0 THEN abs(m.sales - m.average) / m.average END > 0.1
ORDER BY m.sales - m.average, m.i_category, m.i_brand, m.cc_name, m.d_moy
LIMIT 100;
