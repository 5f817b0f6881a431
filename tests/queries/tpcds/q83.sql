WITH days AS (
    SELECT d_date_sk FROM date_dim
    WHERE d_week_seq IN (
        SELECT d_week_seq FROM date_dim WHERE d_date IN ('2000-04-10', '2000-10-02', '2000-12-25'))),
sr AS (
    SELECT i_item_id, sum(sr_return_quantity) AS quantity
    FROM store_returns JOIN item ON i_item_sk = sr_item_sk JOIN days ON d_date_sk = sr_returned_date_sk
    GROUP BY i_item_id),
cr AS (
    SELECT i_item_id, sum(cr_return_quantity) AS quantity
    FROM catalog_returns JOIN item ON i_item_sk = cr_item_sk JOIN days ON d_date_sk = cr_returned_date_sk
    GROUP BY i_item_id),
wr AS (
    SELECT i_item_id, sum(wr_return_quantity) AS quantity
    FROM web_returns JOIN item ON i_item_sk = wr_item_sk JOIN days ON d_date_sk = wr_returned_date_sk
    GROUP BY i_item_id)
SELECT i_item_id,
       sr.quantity AS store, sr.quantity * 1.0 / (sr.quantity + cr.quantity + wr.quantity) / 3.0 * 100 AS store_dev,
       cr.quantity AS catalog, cr.quantity * 1.0 / (sr.quantity + cr.quantity + wr.quantity) / 3.0 * 100 AS catalog_dev,
       wr.quantity AS web, wr.quantity * 1.0 / (sr.quantity + cr.quantity + wr.quantity) / 3.0 * 100 AS web_dev,
       (sr.quantity + cr.quantity + wr.quantity) / 3.0 AS average
FROM sr JOIN cr USING (i_item_id) JOIN wr USING (i_item_id)
ORDER BY i_item_id, store
LIMIT 100;
