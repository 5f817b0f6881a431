WITH week AS (
    SELECT d_date_sk FROM date_dim
    WHERE d_week_seq = (SELECT d_week_seq FROM date_dim WHERE d_date = '1998-08-03')),
ss AS (
    SELECT i_item_id, sum(ss_ext_sales_price) AS revenue
    FROM store_sales JOIN item ON i_item_sk = ss_item_sk
    WHERE ss_sold_date_sk IN (SELECT d_date_sk FROM week)
    GROUP BY i_item_id),
cs AS (
    SELECT i_item_id, sum(cs_ext_sales_price) AS revenue
    FROM catalog_sales JOIN item ON i_item_sk = cs_item_sk
    WHERE cs_sold_date_sk IN (SELECT d_date_sk FROM week)
    GROUP BY i_item_id),
ws AS (
    SELECT i_item_id, sum(ws_ext_sales_price) AS revenue
    FROM web_sales JOIN item ON i_item_sk = ws_item_sk
    WHERE ws_sold_date_sk IN (SELECT d_date_sk FROM week)
    GROUP BY i_item_id)
SELECT ss.i_item_id,
       ss.revenue AS ss_revenue, 100 * ss.revenue / ((ss.revenue + cs.revenue + ws.revenue) / 3) AS ss_dev,
       cs.revenue AS cs_revenue, 100 * cs.revenue / ((ss.revenue + cs.revenue + ws.revenue) / 3) AS cs_dev,
       ws.revenue AS ws_revenue, 100 * ws.revenue / ((ss.revenue + cs.revenue + ws.revenue) / 3) AS ws_dev,
       (ss.revenue + cs.revenue + ws.revenue) / 3 AS average
FROM ss JOIN cs ON cs.i_item_id = ss.i_item_id JOIN ws ON ws.i_item_id = ss.i_item_id
WHERE ss.revenue BETWEEN 0.9 * cs.revenue AND 1.1 * cs.revenue
  AND ss.revenue BETWEEN 0.9 * ws.revenue AND 1.1 * ws.revenue
  AND cs.revenue BETWEEN 0.9 * ss.revenue AND 1.1 * ss.revenue
  AND cs.revenue BETWEEN 0.9 * ws.revenue AND 1.1 * ws.revenue
  AND ws.revenue BETWEEN 0.9 * ss.revenue AND 1.1 * ss.revenue
  AND ws.revenue BETWEEN 0.9 * cs.revenue AND 1.1 * cs.revenue
ORDER BY ss.i_item_id, ss_revenue
LIMIT 100;
