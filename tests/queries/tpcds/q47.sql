WITH months AS (
    SELECT i_category, i_brand, s_store_name, s_company_name, d_year, d_moy, sum(ss_sales_price) AS sales,
           avg(sum(ss_sales_price)) OVER (
               PARTITION BY i_category, i_brand, s_store_name, s_company_name, d_year) AS average,
           rank() OVER (
               PARTITION BY i_category, i_brand, s_store_name, s_company_name ORDER BY d_year, d_moy) AS rn
    FROM item
    JOIN store_sales ON ss_item_sk = i_item_sk
    JOIN date_dim ON d_date_sk = ss_sold_date_sk
    JOIN store ON s_store_sk = ss_store_sk
    WHERE d_year = 1999 OR d_year = 1998 AND d_moy = 12 OR d_year = 2000 AND d_moy = 1
    GROUP BY i_category, i_brand, s_store_name, s_company_name, d_year, d_moy)
SELECT m.i_category, m.i_brand, m.s_store_name, m.s_company_name, m.d_year, m.d_moy, m.average, m.sales,
       p.sales AS previous, n.sales AS next
FROM months m
JOIN months p ON p.i_category = m.i_category AND p.i_brand = m.i_brand AND p.s_store_name = m.s_store_name
    AND p.s_company_name = m.s_company_name AND m.rn = p.rn + 1
JOIN months n ON n.i_category = m.i_category AND n.i_brand = m.i_brand AND n.s_store_name = m.s_store_name
    AND n.s_company_name = m.s_company_name AND m.rn = n.rn - 1
WHERE m.d_year = 1999
  AND m.average > 0
  AND CASE WHEN m.average > 0 THEN abs(m.sales - m.average) / m.average END > 0.1
ORDER BY m.sales - m.average, m.i_category, m.i_brand, m.s_store_name, m.s_company_name, m.d_moy
LIMIT 100;
