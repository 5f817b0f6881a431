WITH stock AS (
    SELECT w_warehouse_sk, i_item_sk, d_moy, avg(inv_quantity_on_hand) AS mean,
           stddev_samp(inv_quantity_on_hand) AS deviation
    FROM inventory
    JOIN item ON i_item_sk = inv_item_sk
    JOIN warehouse ON w_warehouse_sk = inv_warehouse_sk
    JOIN date_dim ON d_date_sk = inv_date_sk
    WHERE d_year = 1998
    GROUP BY w_warehouse_name, w_warehouse_sk, i_item_sk, d_moy),
uneven AS (
    SELECT w_warehouse_sk, i_item_sk, d_moy, mean, deviation / nullif(mean, 0) AS cov
    FROM stock
    WHERE CASE mean WHEN 0 THEN 0 ELSE deviation / mean END > 1)
SELECT a.w_warehouse_sk, a.i_item_sk, a.d_moy, a.mean, a.cov, b.w_warehouse_sk, b.i_item_sk, b.d_moy, b.mean, b.cov
FROM uneven a JOIN uneven b ON a.i_item_sk = b.i_item_sk AND a.w_warehouse_sk = b.w_warehouse_sk
WHERE a.d_moy = 8 AND b.d_moy = 9
ORDER BY a.w_warehouse_sk, a.i_item_sk;
