WITH profits AS (
    SELECT ss_item_sk AS item_sk, avg(ss_net_profit) AS profit
    FROM store_sales
    WHERE ss_store_sk = 1
    GROUP BY ss_item_sk
    HAVING avg(ss_net_profit) > 0.9 * (
        SELECT avg(ss_net_profit) FROM store_sales
        WHERE ss_store_sk = 1 AND ss_addr_sk IS NULL
        GROUP BY ss_store_sk)),
ranks AS (
    SELECT item_sk, rank() OVER (ORDER BY profit) AS worst, rank() OVER (ORDER BY profit DESC) AS best
    FROM profits)
SELECT a.worst AS rnk, i1.i_product_name AS best_performing, i2.i_product_name AS worst_performing
FROM ranks a
JOIN ranks d ON a.worst = d.best
JOIN item i1 ON i1.i_item_sk = a.item_sk
JOIN item i2 ON i2.i_item_sk = d.item_sk
WHERE a.worst < 11
ORDER BY rnk, best_performing, worst_performing
LIMIT 100;
