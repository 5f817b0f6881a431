WITH stores AS (
    SELECT s_store_id, sum(sales) AS sales, sum(returned) AS returned, sum(profit) - sum(loss) AS profit
    FROM (
        SELECT ss_store_sk AS sk, ss_sold_date_sk AS date_sk, ss_ext_sales_price AS sales,
               ss_net_profit AS profit, 0::DECIMAL(7, 2) AS returned, 0::DECIMAL(7, 2) AS loss
        FROM store_sales
        UNION ALL
        SELECT sr_store_sk, sr_returned_date_sk, 0, 0, sr_return_amt, sr_net_loss FROM store_returns) x
    JOIN date_dim ON d_date_sk = date_sk
    JOIN store ON s_store_sk = sk
    WHERE d_date BETWEEN DATE '2000-08-23' AND DATE '2000-08-23' + INTERVAL '14' DAY
    GROUP BY s_store_id),
pages AS (
    SELECT cp_catalog_page_id, sum(sales) AS sales, sum(returned) AS returned, sum(profit) - sum(loss) AS profit
    FROM (
        SELECT cs_catalog_page_sk AS sk, cs_sold_date_sk AS date_sk, cs_ext_sales_price AS sales,
               cs_net_profit AS profit, 0::DECIMAL(7, 2) AS returned, 0::DECIMAL(7, 2) AS loss
        FROM catalog_sales
        UNION ALL
        SELECT cr_catalog_page_sk, cr_returned_date_sk, 0, 0, cr_return_amount, cr_net_loss FROM catalog_returns) x
    JOIN date_dim ON d_date_sk = date_sk
    JOIN catalog_page ON cp_catalog_page_sk = sk
    WHERE d_date BETWEEN DATE '2000-08-23' AND DATE '2000-08-23' + INTERVAL '14' DAY
    GROUP BY cp_catalog_page_id),
sites AS (
    SELECT web_site_id, sum(sales) AS sales, sum(returned) AS returned, sum(profit) - sum(loss) AS profit
    FROM (
        SELECT ws_web_site_sk AS sk, ws_sold_date_sk AS date_sk, ws_ext_sales_price AS sales,
               ws_net_profit AS profit, 0::DECIMAL(7, 2) AS returned, 0::DECIMAL(7, 2) AS loss
        FROM web_sales
        UNION ALL
        SELECT ws_web_site_sk, wr_returned_date_sk, 0, 0, wr_return_amt, wr_net_loss
        FROM web_returns
        LEFT JOIN web_sales ON ws_item_sk = wr_item_sk AND ws_order_number = wr_order_number) x
    JOIN date_dim ON d_date_sk = date_sk
    JOIN web_site ON web_site_sk = sk
    WHERE d_date BETWEEN DATE '2000-08-23' AND DATE '2000-08-23' + INTERVAL '14' DAY
    GROUP BY web_site_id)
SELECT channel, id, sum(sales) AS sales, sum(returned) AS returned, sum(profit) AS profit
FROM (
    SELECT 'store channel' AS channel, 'store' || s_store_id AS id, sales, returned, profit FROM stores
    UNION ALL
    SELECT 'catalog channel', 'catalog_page' || cp_catalog_page_id, sales, returned, profit FROM pages
    UNION ALL
    SELECT 'web channel', 'web_site' || web_site_id, sales, returned, profit FROM sites) channels
GROUP BY ROLLUP (channel, id)
ORDER BY channel, id
LIMIT 100;
