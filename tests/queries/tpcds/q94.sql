SELECT count(DISTINCT ws_order_number) AS orders, sum(ws_ext_ship_cost) AS shipping, sum(ws_net_profit) AS profit
FROM web_sales w, date_dim, customer_address, web_site
WHERE d_date BETWEEN DATE '1999-02-01' AND DATE '1999-04-02'
  AND w.ws_ship_date_sk = d_date_sk
  AND w.ws_ship_addr_sk = ca_address_sk
  AND ca_state = 'IL'
  AND w.ws_web_site_sk = web_site_sk
  AND web_company_name = 'pri'
  AND EXISTS (
      SELECT * FROM web_sales o
      WHERE o.ws_order_number = w.ws_order_number AND o.ws_warehouse_sk <> w.ws_warehouse_sk)
  AND NOT EXISTS (SELECT * FROM web_returns r WHERE r.wr_order_number = w.ws_order_number)
ORDER BY orders
LIMIT 100;
