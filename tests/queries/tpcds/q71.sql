SELECT i_brand_id, i_brand, t_hour, t_minute, sum(price) AS price
FROM item
JOIN (
    SELECT ws_ext_sales_price AS price, ws_sold_date_sk AS date_sk, ws_item_sk AS item_sk, ws_sold_time_sk AS time_sk
    FROM web_sales
    UNION ALL
    SELECT cs_ext_sales_price, cs_sold_date_sk, cs_item_sk, cs_sold_time_sk FROM catalog_sales
    UNION ALL
    SELECT ss_ext_sales_price, ss_sold_date_sk, ss_item_sk, ss_sold_time_sk FROM store_sales) sales
    ON item_sk = i_item_sk
JOIN date_dim ON d_date_sk = date_sk
JOIN time_dim ON t_time_sk = time_sk
WHERE i_manager_id = 1 AND d_moy = 11 AND d_year = 1999
  AND t_meal_time IN ('breakfast', 'dinner')
GROUP BY i_brand, i_brand_id, t_hour, t_minute
ORDER BY price DESC, i_brand_id, i_brand, t_hour, t_minute;
