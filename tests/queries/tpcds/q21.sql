SELECT w_warehouse_name, i_item_id, before_change, after_change
FROM (
    SELECT w_warehouse_name, i_item_id,
           sum(CASE WHEN d_date < DATE '2000-03-11' THEN inv_quantity_on_hand ELSE 0 END) AS before_change,
           sum(CASE WHEN d_date >= DATE '2000-03-11' THEN inv_quantity_on_hand ELSE 0 END) AS after_change
    FROM inventory
    JOIN warehouse ON w_warehouse_sk = inv_warehouse_sk
    JOIN item ON i_item_sk = inv_item_sk
    JOIN date_dim ON d_date_sk = inv_date_sk
    WHERE i_current_price BETWEEN 0.99 AND 1.49
      AND d_date BETWEEN DATE '2000-03-11' - INTERVAL '30' DAY AND DATE '2000-03-11' + INTERVAL '30' DAY
    GROUP BY w_warehouse_name, i_item_id) x
WHERE CASE WHEN before_change > 0 THEN after_change * 1.000 / before_change END BETWEEN 2.0 / 3.0 AND 3.0 / 2.0
ORDER BY w_warehouse_name, i_item_id
LIMIT 100;
