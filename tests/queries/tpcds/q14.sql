WITH everywhere AS (
    SELECT i_brand_id, i_class_id, i_category_id
    FROM store_sales JOIN item ON i_item_sk = ss_item_sk JOIN date_dim ON d_date_sk = ss_sold_date_sk
    WHERE d_year BETWEEN 1999 AND 2001
    INTERSECT
    SELECT i_brand_id, i_class_id, i_category_id
    FROM catalog_sales JOIN item ON i_item_sk = cs_item_sk JOIN date_dim ON d_date_sk = cs_sold_date_sk
    WHERE d_year BETWEEN 1999 AND 2001
    INTERSECT
    SELECT i_brand_id, i_class_id, i_category_id
    FROM web_sales JOIN item ON i_item_sk = ws_item_sk JOIN date_dim ON d_date_sk = ws_sold_date_sk
    WHERE d_year BETWEEN 1999 AND 2001),
cross_items AS (
    SELECT i_item_sk FROM item JOIN everywhere USING (i_brand_id, i_class_id, i_category_id)),
sales AS (
    SELECT 'store' AS channel, ss_item_sk AS item_sk, ss_sold_date_sk AS date_sk,
           ss_quantity * ss_list_price AS amount
    FROM store_sales
    UNION ALL
    SELECT 'catalog', cs_item_sk, cs_sold_date_sk, cs_quantity * cs_list_price FROM catalog_sales
    UNION ALL
    SELECT 'web', ws_item_sk, ws_sold_date_sk, ws_quantity * ws_list_price FROM web_sales),
average AS (
    SELECT avg(amount) AS amount FROM sales JOIN date_dim ON d_date_sk = date_sk WHERE d_year BETWEEN 1999 AND 2001),
groups AS (
    SELECT channel, i_brand_id, i_class_id, i_category_id, sum(amount) AS amount, count(*) AS number
    FROM sales
    JOIN item ON i_item_sk = item_sk
    JOIN date_dim ON d_date_sk = date_sk
    WHERE item_sk IN (SELECT i_item_sk FROM cross_items) AND d_year = 2001 AND d_moy = 11
    GROUP BY channel, i_brand_id, i_class_id, i_category_id
    HAVING sum(amount) > (SELECT amount FROM average))
SELECT channel, i_brand_id, i_class_id, i_category_id, sum(amount) AS sales, sum(number) AS number_sales
FROM groups
GROUP BY ROLLUP (channel, i_brand_id, i_class_id, i_category_id)
ORDER BY channel, i_brand_id, i_class_id, i_category_id
LIMIT 100;
