//! What plans must look like for storage to prune: conditions on plain columns, constants of the columns' types.

use stoadb::{Database, to_text};

#[test]
fn test_dates_are_compared_as_dates() {
    let connection = Database::open_in_memory().connect();
    connection.execute("CREATE TABLE t (d DATE, q DECIMAL(15,2))").unwrap();
    connection.execute("INSERT INTO t VALUES (DATE '1994-05-05', 1)").unwrap();
    for (condition, expected) in [
        ("d < date '1994-01-01' + interval '1' year", "d < DATE '1995-01-01'"),
        ("d <= date '1998-12-01' - interval '90' day", "d <= DATE '1998-09-02'"),
        ("d >= timestamp '1994-01-01 00:00:00'", "d >= DATE '1994-01-01'"),
        (
            "d between date '1994-01-31' + interval '1' month and date '1995-01-01'",
            "d >= DATE '1994-02-28' AND d <= DATE '1995-01-01'",
        ),
        ("q < 24", "q < 24.00"),
    ] {
        let sql = format!("EXPLAIN SELECT count(*) FROM t WHERE {condition}");
        let mut plan = String::new();
        for batch in connection.query(&sql).unwrap() {
            let batch = batch.unwrap();
            let lines = to_text(batch.column(0)).unwrap();
            (0..batch.num_rows()).for_each(|row| plan.push_str(lines.value(row)));
        }
        assert!(plan.contains(&format!("where {expected}")), "{condition}:\n{plan}");
    }
}
