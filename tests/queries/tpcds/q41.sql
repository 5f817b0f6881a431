SELECT DISTINCT i_product_name
FROM item i
WHERE i_manufact_id BETWEEN 1 AND 1000
  AND (SELECT count(*)
       FROM item o
       WHERE o.i_manufact = i.i_manufact
         AND (o.i_category = 'Women'
                  AND (o.i_color IN ('powder', 'khaki') AND o.i_units IN ('Ounce', 'Oz')
                           AND o.i_size IN ('medium', 'extra large')
                       OR o.i_color IN ('brown', 'honeydew') AND o.i_units IN ('Bunch', 'Ton')
                           AND o.i_size IN ('N/A', 'small')
                       OR o.i_color IN ('midnight', 'snow') AND o.i_units IN ('Pallet', 'Gross')
                           AND o.i_size IN ('medium', 'extra large')
                       OR o.i_color IN ('red', 'royal') AND o.i_units IN ('Cup', 'Bunch')
                           AND o.i_size IN ('N/A', 'small'))
              OR o.i_category = 'Men'
                  AND (o.i_color IN ('floral', 'deep') AND o.i_units IN ('N/A', 'Dozen') AND o.i_size = 'petite'
                       OR o.i_color IN ('red', 'papaya') AND o.i_units IN ('Ton', 'Carton')
                           AND o.i_size IN ('medium', 'extra large')
                       OR o.i_color IN ('orange', 'pink') AND o.i_units IN ('Cup', 'Tbl') AND o.i_size = 'petite'
                       OR o.i_color IN ('forest', 'ghost') AND o.i_units IN ('Lb', 'Bundle')
                           AND o.i_size IN ('medium', 'extra large')))) > 0
ORDER BY i_product_name
LIMIT 100;
