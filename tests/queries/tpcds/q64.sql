WITH refunds AS (
    SELECT cs_item_sk
    FROM catalog_sales JOIN catalog_returns ON cr_item_sk = cs_item_sk AND cr_order_number = cs_order_number
    GROUP BY cs_item_sk
    HAVING sum(cs_ext_list_price) > 2 * sum(cr_refunded_cash + cr_reversed_charge + cr_store_credit)),
purchases AS (
    SELECT i_product_name, i_item_sk, s_store_name, s_zip,
           ad1.ca_street_number AS b_street_number, ad1.ca_street_name AS b_street_name, ad1.ca_city AS b_city,
           ad1.ca_zip AS b_zip,
           ad2.ca_street_number AS c_street_number, ad2.ca_street_name AS c_street_name, ad2.ca_city AS c_city,
           ad2.ca_zip AS c_zip,
           d1.d_year AS year, count(*) AS cnt, sum(ss_wholesale_cost) AS cost, sum(ss_list_price) AS price,
           sum(ss_coupon_amt) AS coupon
    FROM store_sales
    JOIN store_returns ON sr_item_sk = ss_item_sk AND sr_ticket_number = ss_ticket_number
    JOIN refunds ON cs_item_sk = ss_item_sk
    JOIN date_dim d1 ON d1.d_date_sk = ss_sold_date_sk
    JOIN store ON s_store_sk = ss_store_sk
    JOIN customer ON c_customer_sk = ss_customer_sk
    JOIN date_dim d2 ON d2.d_date_sk = c_first_sales_date_sk
    JOIN date_dim d3 ON d3.d_date_sk = c_first_shipto_date_sk
    JOIN customer_demographics cd1 ON cd1.cd_demo_sk = ss_cdemo_sk
    JOIN customer_demographics cd2 ON cd2.cd_demo_sk = c_current_cdemo_sk
    JOIN promotion ON p_promo_sk = ss_promo_sk
    JOIN household_demographics hd1 ON hd1.hd_demo_sk = ss_hdemo_sk
    JOIN household_demographics hd2 ON hd2.hd_demo_sk = c_current_hdemo_sk
    JOIN customer_address ad1 ON ad1.ca_address_sk = ss_addr_sk
    JOIN customer_address ad2 ON ad2.ca_address_sk = c_current_addr_sk
    JOIN income_band ib1 ON ib1.ib_income_band_sk = hd1.hd_income_band_sk
    JOIN income_band ib2 ON ib2.ib_income_band_sk = hd2.hd_income_band_sk
    JOIN item ON i_item_sk = ss_item_sk
    WHERE cd1.cd_marital_status <> cd2.cd_marital_status
      AND i_color IN ('red', 'yellow', 'papaya', 'purple', 'royal', 'sienna')
      AND i_current_price BETWEEN 0 AND 10
      AND i_current_price BETWEEN 1 AND 15
    GROUP BY i_product_name, i_item_sk, s_store_name, s_zip, ad1.ca_street_number, ad1.ca_street_name,
             ad1.ca_city, ad1.ca_zip, ad2.ca_street_number, ad2.ca_street_name, ad2.ca_city, ad2.ca_zip,
             d1.d_year, d2.d_year, d3.d_year)
SELECT a.i_product_name, a.s_store_name, a.s_zip, a.b_street_number, a.b_street_name, a.b_city, a.b_zip,
       a.c_street_number, a.c_street_name, a.c_city, a.c_zip, a.year, a.cnt, a.cost, a.price, a.coupon,
       b.cost AS cost2, b.price AS price2, b.coupon AS coupon2, b.year AS year2, b.cnt AS cnt2
FROM purchases a JOIN purchases b USING (i_item_sk, s_store_name, s_zip)
WHERE a.year = 1998 AND b.year = 1999 AND b.cnt <= a.cnt
ORDER BY a.i_product_name, a.s_store_name, cnt2, a.cost, cost2, a.b_zip, a.c_zip, a.price, price2;
