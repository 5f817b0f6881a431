WITH days AS (
    SELECT d_date_sk FROM date_dim WHERE d_date BETWEEN DATE '2000-08-23' AND DATE '2000-08-23' + INTERVAL '30' DAY),
ss AS (
    SELECT s_store_sk, sum(ss_ext_sales_price) AS sales, sum(ss_net_profit) AS profit
    FROM store_sales JOIN days ON d_date_sk = ss_sold_date_sk JOIN store ON s_store_sk = ss_store_sk
    GROUP BY s_store_sk),
sr AS (
    SELECT s_store_sk, sum(sr_return_amt) AS returned, sum(sr_net_loss) AS loss
    FROM store_returns JOIN days ON d_date_sk = sr_returned_date_sk JOIN store ON s_store_sk = sr_store_sk
    GROUP BY s_store_sk),
cs AS (
    SELECT cs_call_center_sk, sum(cs_ext_sales_price) AS sales, sum(cs_net_profit) AS profit
    FROM catalog_sales JOIN days ON d_date_sk = cs_sold_date_sk
    GROUP BY cs_call_center_sk),
cr AS (
    SELECT cr_call_center_sk, sum(cr_return_amount) AS returned, sum(cr_net_loss) AS loss
    FROM catalog_returns JOIN days ON d_date_sk = cr_returned_date_sk
    GROUP BY cr_call_center_sk),
ws AS (
    SELECT wp_web_page_sk, sum(ws_ext_sales_price) AS sales, sum(ws_net_profit) AS profit
    FROM web_sales JOIN days ON d_date_sk = ws_sold_date_sk JOIN web_page ON wp_web_page_sk = ws_web_page_sk
    GROUP BY wp_web_page_sk),
wr AS (
    SELECT wp_web_page_sk, sum(wr_return_amt) AS returned, sum(wr_net_loss) AS loss
    FROM web_returns JOIN days ON d_date_sk = wr_returned_date_sk JOIN web_page ON wp_web_page_sk = wr_web_page_sk
    GROUP BY wp_web_page_sk)
SELECT channel, id, sum(sales) AS sales, sum(returned) AS returned, sum(profit) AS profit
FROM (
    SELECT 'store channel' AS channel, ss.s_store_sk AS id, sales, coalesce(returned, 0) AS returned,
           profit - coalesce(loss, 0) AS profit
    FROM ss LEFT JOIN sr ON sr.s_store_sk = ss.s_store_sk
    UNION ALL
    SELECT 'catalog channel', cs_call_center_sk, sales, returned, profit - loss FROM cs, cr
    UNION ALL
    SELECT 'web channel', ws.wp_web_page_sk, sales, coalesce(returned, 0), profit - coalesce(loss, 0)
    FROM ws LEFT JOIN wr ON wr.wp_web_page_sk = ws.wp_web_page_sk) channels
GROUP BY ROLLUP (channel, id)
ORDER BY channel, id, returned DESC, sales, profit
LIMIT 100;
