SELECT b1.*, b2.*, b3.*, b4.*, b5.*, b6.*
FROM (
    SELECT avg(ss_list_price) AS price1, count(ss_list_price) AS count1, count(DISTINCT ss_list_price) AS distinct1
    FROM store_sales
    WHERE ss_quantity BETWEEN 0 AND 5
      AND (ss_list_price BETWEEN 8 AND 18 OR ss_coupon_amt BETWEEN 459 AND 1459
           OR ss_wholesale_cost BETWEEN 57 AND 77)) b1
CROSS JOIN (
    SELECT avg(ss_list_price) AS price2, count(ss_list_price) AS count2, count(DISTINCT ss_list_price) AS distinct2
    FROM store_sales
    WHERE ss_quantity BETWEEN 6 AND 10
      AND (ss_list_price BETWEEN 90 AND 100 OR ss_coupon_amt BETWEEN 2323 AND 3323
           OR ss_wholesale_cost BETWEEN 31 AND 51)) b2
CROSS JOIN (
    SELECT avg(ss_list_price) AS price3, count(ss_list_price) AS count3, count(DISTINCT ss_list_price) AS distinct3
    FROM store_sales
    WHERE ss_quantity BETWEEN 11 AND 15
      AND (ss_list_price BETWEEN 142 AND 152 OR ss_coupon_amt BETWEEN 12214 AND 13214
           OR ss_wholesale_cost BETWEEN 79 AND 99)) b3
CROSS JOIN (
    SELECT avg(ss_list_price) AS price4, count(ss_list_price) AS count4, count(DISTINCT ss_list_price) AS distinct4
    FROM store_sales
    WHERE ss_quantity BETWEEN 16 AND 20
      AND (ss_list_price BETWEEN 135 AND 145 OR ss_coupon_amt BETWEEN 6071 AND 7071
           OR ss_wholesale_cost BETWEEN 38 AND 58)) b4
CROSS JOIN (
    SELECT avg(ss_list_price) AS price5, count(ss_list_price) AS count5, count(DISTINCT ss_list_price) AS distinct5
    FROM store_sales
    WHERE ss_quantity BETWEEN 21 AND 25
      AND (ss_list_price BETWEEN 122 AND 132 OR ss_coupon_amt BETWEEN 836 AND 1836
           OR ss_wholesale_cost BETWEEN 17 AND 37)) b5
CROSS JOIN (
    SELECT avg(ss_list_price) AS price6, count(ss_list_price) AS count6, count(DISTINCT ss_list_price) AS distinct6
    FROM store_sales
    WHERE ss_quantity BETWEEN 26 AND 30
      AND (ss_list_price BETWEEN 154 AND 164 OR ss_coupon_amt BETWEEN 7326 AND 8326
           OR ss_wholesale_cost BETWEEN 7 AND 27)) b6;
