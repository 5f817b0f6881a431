SELECT ss_customer_sk, sum(sales) AS sales
FROM (
    SELECT ss_customer_sk, (ss_quantity - coalesce(sr_return_quantity, 0)) * ss_sales_price AS sales
    FROM store_sales
    LEFT JOIN store_returns ON sr_item_sk = ss_item_sk AND sr_ticket_number = ss_ticket_number
    JOIN reason ON r_reason_sk = sr_reason_sk
    WHERE r_reason_desc = 'Package was damaged') kept
GROUP BY ss_customer_sk
ORDER BY sales, ss_customer_sk
LIMIT 100;
