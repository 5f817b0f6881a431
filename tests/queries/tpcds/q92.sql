SELECT sum(ws_ext_discount_amt) AS excess
FROM web_sales
JOIN item ON i_item_sk = ws_item_sk
JOIN date_dim ON d_date_sk = ws_sold_date_sk
WHERE i_manufact_id = 350
  AND d_date BETWEEN DATE '2000-01-27' AND DATE '2000-04-26'
  AND ws_ext_discount_amt > (
      SELECT 1.3 * avg(o.ws_ext_discount_amt)
      FROM web_sales o JOIN date_dim d ON d.d_date_sk = o.ws_sold_date_sk
      WHERE o.ws_item_sk = i_item_sk AND d.d_date BETWEEN DATE '2000-01-27' AND DATE '2000-04-26')
ORDER BY excess
LIMIT 100;
