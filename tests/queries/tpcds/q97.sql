WITH ss AS (
    SELECT DISTINCT ss_customer_sk AS customer_sk, ss_item_sk AS item_sk
    FROM store_sales JOIN date_dim ON d_date_sk = ss_sold_date_sk
    WHERE d_month_seq BETWEEN 1200 AND 1211),
cs AS (
    SELECT DISTINCT cs_bill_customer_sk AS customer_sk, cs_item_sk AS item_sk
    FROM catalog_sales JOIN date_dim ON d_date_sk = cs_sold_date_sk
    WHERE d_month_seq BETWEEN 1200 AND 1211)
SELECT count_if(ss.customer_sk IS NOT NULL AND cs.customer_sk IS NULL) AS store_only,
       count_if(ss.customer_sk IS NULL AND cs.customer_sk IS NOT NULL) AS catalog_only,
       count_if(ss.customer_sk IS NOT NULL AND cs.customer_sk IS NOT NULL) AS both_channels
FROM ss FULL JOIN cs ON cs.customer_sk = ss.customer_sk AND cs.item_sk = ss.item_sk;
