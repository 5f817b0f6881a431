//! Answers through indexes against answers from scans: the same, whatever the table, its indexes, the filter, what was
//! deleted and updated, within a transaction and outside.
//!
//! Invariant: whatever is exact is compared as text, which tells all values apart; results that sum doubles may differ in
//! their last digits.

use stoadb::{Connection, Database, to_text};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let mixed = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        mixed ^ (mixed >> 29)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

/// The columns, and how a value is made of a number.
const COLUMNS: [(&str, &str); 8] = [
    ("i", "INTEGER"),
    ("b", "BIGINT"),
    ("d", "DECIMAL(12, 2)"),
    ("w", "DECIMAL(30, 4)"),
    ("f", "DOUBLE"),
    ("s", "VARCHAR"),
    ("t", "TIMESTAMP"),
    ("y", "DATE"),
];

/// A literal of a column's type.
fn literal(random: &mut Random, column: &str) -> String {
    let number = random.below(400) as i64 - 200;
    match column {
        "i" => (number / 3).to_string(),
        "b" if number % 50 == 0 => "9223372036854775807".into(),
        "b" => (number * 1_000_000_007).to_string(),
        "d" => format!("{}", number as f64 / 4.0),
        "w" => format!("{number}99999999999999999999.125::DECIMAL(30, 4)"),
        "f" => match number {
            -3..=0 => "'nan'::DOUBLE".into(),
            1..=3 => "-0.0::DOUBLE".into(),
            4 => "'inf'::DOUBLE".into(),
            _ => format!("({number} / 8.0)::DOUBLE"),
        },
        "s" => format!("'{}'", &"abcabdcbaxyz\u{e9}a"[..number.rem_euclid(6) as usize * 2]),
        "t" => format!("TIMESTAMP '2024-01-10' + INTERVAL {} MINUTE", number * 97),
        _ => format!("DATE '2024-02-01' + {number}"),
    }
}

fn value(random: &mut Random, column: &str) -> String {
    if random.below(9) == 0 { "NULL".into() } else { literal(random, column) }
}

fn row(random: &mut Random) -> String {
    let values: Vec<String> = COLUMNS.iter().map(|(name, _)| value(random, name)).collect();
    format!("({})", values.join(", "))
}

fn insert(random: &mut Random, most: usize) -> String {
    let rows = 1 + random.below(most);
    let rows: Vec<String> = (0..rows).map(|_| row(random)).collect();
    format!("INSERT INTO r VALUES {}", rows.join(", "))
}

fn column(random: &mut Random) -> &'static str {
    COLUMNS[random.below(COLUMNS.len())].0
}

fn condition(random: &mut Random, column: &str, depth: usize) -> String {
    let other = if random.below(4) == 0 { self::column(random) } else { column };
    if depth > 0 && random.below(2) == 0 {
        let parts = [condition(random, column, depth - 1), condition(random, other, depth - 1)];
        return format!("({})", parts.join([" AND ", " OR "][random.below(2)]));
    }
    match random.below(9) {
        0 => format!("{other} IS NULL"),
        1 => format!("{other} IS NOT NULL"),
        2 => {
            let list: Vec<String> = (0..4).map(|_| value(random, other)).collect();
            format!("{other} IN ({})", list.join(", "))
        }
        3 if other == "s" => format!("s LIKE '{}%'", random.pick(&["a", "ab", "abc", "x", ""])),
        3 | 4 => {
            let (low, high) = (literal(random, other), literal(random, other));
            format!("{other} BETWEEN {low} AND {high}")
        }
        5 => format!("{other} = {}", literal(random, other)),
        _ => {
            let op = random.pick(&["=", "<", "<=", ">", ">=", "<>"]);
            format!("{other} {op} {}", literal(random, other))
        }
    }
}

/// Aggregates of a column; of doubles those whose result does not depend on the order of summing.
fn aggregates(random: &mut Random, column: &str) -> Vec<String> {
    let mut all = vec!["count(*)".to_owned(), format!("count({column})")];
    let mut add = |list: &[&str]| all.extend(list.iter().map(|f| f.replace('@', column)));
    add(&["min(@)", "max(@)", "count(DISTINCT @)", "quantile_disc(@, [0, 0.3, 0.5, 1])"]);
    match column {
        "i" | "b" => add(&["sum(@::DECIMAL(38, 0))", "avg(@)", "median(@)", "stddev_pop(@)"]),
        "d" | "w" => add(&["sum(@)", "avg(@)", "median(@)", "quantile_cont(@, 0.37)"]),
        "f" => add(&["median(@)", "quantile_cont(@, [0.1, 0.9])"]),
        _ => {}
    }
    if column == "i" {
        add(&["sum(@)", "sum(3 * @ - 1)", "max(7 - @)", "var_samp(@)"]);
    }
    let keep = 1 + random.below(5);
    (0..keep).map(|_| all[random.below(all.len())].clone()).collect()
}

fn group(random: &mut Random, column: &str) -> String {
    let form = match column {
        "i" | "b" => random.pick(&["@", "@ // 7", "floor(@ / 10.0)", "-@"]),
        "d" | "w" => random.pick(&["@", "floor(@)"]),
        "f" => random.pick(&["@", "floor(@ / 3)", "round(@)"]),
        "t" => random.pick(&["@", "date_trunc('week', @)", "time_bucket(INTERVAL '5 hours', @)"]),
        "y" => random.pick(&["@", "date_trunc('month', @)"]),
        _ => "@",
    };
    form.replace('@', column)
}

/// A query that indexes serve in part: rows of an index alone, several indexes, look-ups of a join's keys, walks.
fn partial(random: &mut Random, column: &str) -> (String, bool) {
    let filter = condition(random, column, 2);
    let other = self::column(random);
    let rest = random.pick(&["i % 3 = 0", "i % 7 <> 1 OR i IS NULL", "length(s) > 2"]);
    match random.below(9) {
        0 => (format!("SELECT {column}, {other} FROM r WHERE {filter}"), true),
        1 => (format!("SELECT {other} FROM r WHERE {filter} AND ({rest})"), true),
        2 => {
            let second = condition(random, other, 0);
            let word = random.pick(&["AND", "OR"]);
            (format!("SELECT * FROM r WHERE {filter} {word} {second}"), true)
        }
        3 => {
            let calls = aggregates(random, column).join(&format!(" FILTER (WHERE {rest}), "));
            (format!("SELECT {calls} FROM r WHERE {filter}"), false)
        }
        4 => {
            let order = random.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS FIRST"]);
            let page = format!("LIMIT {} OFFSET {}", random.below(9), random.below(2) * 5);
            let filter = if random.below(2) == 0 { filter } else { condition(random, other, 0) };
            let filter = format!("{filter} AND ({rest})");
            (format!("SELECT * FROM r WHERE {filter} ORDER BY {column}{order} {page}"), true)
        }
        5 => {
            let filter = if random.below(2) == 0 { format!("{filter} AND ") } else { "".into() };
            let call = random.pick(&["min(@)", "max(@)", "min(@), max(@)"]).replace('@', column);
            (format!("SELECT {call} FROM r WHERE {filter}({rest})"), false)
        }
        6 => {
            let kind = random.pick(&["JOIN", "LEFT JOIN", "RIGHT JOIN", "SEMI JOIN", "ANTI JOIN"]);
            let columns = match kind {
                "SEMI JOIN" | "ANTI JOIN" => "u.*",
                _ => "u.*, r.*",
            };
            let second = match random.below(3) {
                0 => format!(" AND u.{other} = r.{other}"),
                1 => format!(" AND u.{other} < r.{other}"),
                _ => String::new(),
            };
            (format!("SELECT {columns} FROM u {kind} r ON u.{column} = r.{column}{second}"), false)
        }
        7 => {
            let word = random.pick(&["IN", "NOT IN"]);
            let list = format!("SELECT {column} FROM u WHERE {column} IS NOT NULL");
            (format!("SELECT * FROM r WHERE {column} {word} ({list}) AND {filter}"), true)
        }
        _ => {
            let calls = aggregates(random, other).join(", ");
            let on = format!("u.{column} = r.{column}");
            let calls = calls.replace(&format!("({other}"), &format!("(r.{other}"));
            let calls = calls.replace(&format!(" {other})"), &format!(" r.{other})"));
            (format!("SELECT count(*), {calls} FROM r JOIN u ON {on}"), false)
        }
    }
}

/// A query, and whether the order of its rows counts.
fn query(random: &mut Random, column: &str) -> (String, bool) {
    let filter = match random.below(5) {
        0 => String::new(),
        _ => format!(" WHERE {}", condition(random, column, 2)),
    };
    let include = self::column(random);
    let mut asked = aggregates(random, column);
    asked.extend(aggregates(random, include));
    match random.below(6) {
        0 | 1 => (format!("SELECT {} FROM r{filter}", asked.join(", ")), false),
        2 => {
            let group = group(random, column);
            (format!("SELECT {group}, {} FROM r{filter} GROUP BY 1", asked.join(", ")), false)
        }
        3 => (format!("SELECT * FROM r{filter}"), true),
        _ => {
            let order = random.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS FIRST"]);
            let (limit, offset) = (random.below(20), random.below(3) * random.below(300));
            let second =
                if random.below(3) == 0 { format!(", {include}{order}") } else { "".into() };
            let order = format!("{column}{order}{second}");
            let page = format!("LIMIT {limit} OFFSET {offset}");
            (format!("SELECT * FROM r{filter} ORDER BY {order} {page}"), true)
        }
    }
}

/// The rows as text, in order or sorted, or the error.
fn rows(connection: &Connection, sql: &str, ordered: bool) -> Result<Vec<String>, String> {
    let mut rows = Vec::new();
    for batch in connection.query(sql).map_err(|error| error.to_string())? {
        let batch = batch.map_err(|error| error.to_string())?;
        let columns: Vec<_> =
            batch.columns().iter().map(|column| to_text(column).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let cells = columns.iter().map(|column| match column.iter().nth(row) {
                // 0.0 and -0.0 are one value.
                Some(Some("-0.0")) => "0.0".to_owned(),
                Some(Some(text)) => text.replace("-0.0,", "0.0,").replace("-0.0]", "0.0]"),
                _ => "NULL".into(),
            });
            rows.push(cells.collect::<Vec<_>>().join(" | "));
        }
    }
    if !ordered {
        rows.sort();
    }
    Ok(rows)
}

fn run(connection: &Connection, sql: &str) {
    connection.execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}

fn create_index(random: &mut Random, number: usize) -> (String, &'static str) {
    let lead = column(random);
    let mut keys = vec![lead];
    while keys.len() < 1 + random.below(3) {
        let next = column(random);
        if !keys.contains(&next) {
            keys.push(next);
        }
    }
    let keys: Vec<String> =
        keys.iter().map(|key| format!("{key}{}", random.pick(&["", "", " DESC"]))).collect();
    let mut includes = Vec::new();
    for (name, _) in COLUMNS {
        if random.below(3) > 0 {
            includes.push(format!("{name}{}", random.pick(&["", " QUANTILES"])));
        }
    }
    let include = match includes.is_empty() {
        true => String::new(),
        false => format!(" INCLUDE ({})", includes.join(", ")),
    };
    (format!("CREATE INDEX x{number} ON r ({}){include}", keys.join(", ")), lead)
}

/// A query of a column, and whether the order of its rows counts.
type Query = fn(&mut Random, &str) -> (String, bool);

/// The plans of queries under `access_path = 'index'`.
fn compare(
    connection: &Connection,
    random: &mut Random,
    leads: &[&str],
    queries: usize,
    query: Query,
) -> Vec<String> {
    let mut plans = Vec::new();
    for _ in 0..queries {
        let lead = leads[random.below(leads.len())];
        let (sql, ordered) = query(random, lead);
        run(connection, "SET access_path = 'scan'");
        let want = rows(connection, &sql, ordered);
        run(connection, "SET access_path = 'index'");
        let found = rows(connection, &sql, ordered);
        let plan = rows(connection, &format!("EXPLAIN {sql}"), true).unwrap_or_default().join("\n");
        assert_eq!(want, found, "{sql}\n{plan}");
        run(connection, "SET access_path = 'auto'");
        assert_eq!(rows(connection, &sql, ordered), want, "{sql}\n{plan}");
        plans.push(plan);
    }
    plans
}

/// How many plans say something.
fn count(plans: &[String], text: &str) -> usize {
    plans.iter().filter(|plan| plan.contains(text)).count()
}

/// The plans of many queries over tables that are changed between them.
fn exercise(seeds: std::ops::Range<u64>, query: Query) -> Vec<String> {
    let mut plans = Vec::new();
    for seed in seeds {
        let random = &mut Random(seed);
        let connection = Database::open_in_memory().connect();
        let columns: Vec<String> =
            COLUMNS.iter().map(|(name, ty)| format!("{name} {ty}")).collect();
        run(&connection, &format!("CREATE TABLE r ({})", columns.join(", ")));
        run(&connection, &insert(random, 300));
        run(&connection, &format!("CREATE TABLE u AS FROM r LIMIT {}", random.below(12)));
        let indexes: Vec<_> = (0..3).map(|number| create_index(random, number)).collect();
        let leads: Vec<&str> = indexes.iter().map(|(_, lead)| *lead).collect();
        indexes.iter().for_each(|(sql, _)| run(&connection, sql));
        plans.extend(compare(&connection, random, &leads, 25, query));
        for step in 0..3 {
            if step == 1 {
                run(&connection, "BEGIN");
            }
            run(&connection, &insert(random, 80));
            let lead = leads[random.below(leads.len())];
            let gone = format!("{} AND {}", condition(random, lead, 1), "i % 2 = 0");
            run(&connection, &format!("DELETE FROM r WHERE {gone}"));
            let (other, moved) = (column(random), condition(random, lead, 0));
            let to = value(random, other);
            run(&connection, &format!("UPDATE r SET {other} = {to} WHERE {moved} AND i % 3 = 0"));
            plans.extend(compare(&connection, random, &leads, 15, query));
            if step == 1 {
                run(&connection, random.pick(&["COMMIT", "ROLLBACK"]));
                plans.extend(compare(&connection, random, &leads, 5, query));
            }
        }
    }
    plans
}

#[test]
fn test_indexes_answer_as_scans_do() {
    let served = count(&exercise(0..5, query), "access: index");
    assert!(served > 150, "indexes served {served} queries only");
}

#[test]
fn test_indexes_that_serve_in_part_answer_as_scans_do() {
    let plans = exercise(5..13, partial);
    let told = [" alone, ", " and index ", " or index ", " in order until ", " keys of the join"];
    for text in told {
        let count = count(&plans, text);
        assert!(count > 2, "{count} plans say '{text}'");
    }
}

#[test]
fn test_sums_of_doubles_are_near_those_of_scans() {
    let connection = Database::open_in_memory().connect();
    run(
        &connection,
        "CREATE TABLE r AS SELECT i * 7919 % 10007 AS k, sin(i) * 1e6 AS f FROM range(20000) g(i)",
    );
    run(&connection, "CREATE INDEX x ON r (k) INCLUDE (f)");
    run(&connection, "DELETE FROM r WHERE k % 13 = 4");
    let sql =
        "SELECT sum(f), avg(f), stddev_samp(f), var_pop(f) FROM r WHERE k BETWEEN 17 AND 8888";
    let numbers = |path: &str| -> Vec<f64> {
        run(&connection, &format!("SET access_path = '{path}'"));
        let rows = rows(&connection, sql, true).unwrap();
        rows[0].split(" | ").map(|text| text.parse().unwrap()).collect()
    };
    let (scan, index) = (numbers("scan"), numbers("index"));
    assert_eq!(scan[..2], index[..2]);
    for (scan, index) in scan.iter().zip(&index) {
        assert!((scan - index).abs() <= scan.abs() * 1e-12, "{scan} {index}");
    }
}

#[test]
fn test_plans_of_a_large_table_take_what_is_cheapest() {
    let connection = Database::open_in_memory().connect();
    let columns = "i AS id, i * 7919 % 300007 AS k, i * 31 % 1009 AS a, i * 17 % 997 AS b, i % 1000 AS c, i % 77 AS d";
    run(&connection, &format!("CREATE TABLE r AS SELECT {columns} FROM range(300000) g(i)"));
    run(&connection, "CREATE INDEX r_k ON r (k) INCLUDE (a)");
    run(&connection, "CREATE INDEX r_a ON r (a)");
    run(&connection, "CREATE INDEX r_b ON r (b)");
    run(&connection, "CREATE TABLE u AS SELECT i * 1000 AS k, i AS v FROM range(20) g(i)");
    // What EXPLAIN ANALYZE says, and how many rows the scan gives.
    for (sql, told, rows_of_scan) in [
        ("SELECT k, a FROM r WHERE k BETWEEN 100 AND 900", "index r_k over 1 range alone, 80", ""),
        ("SELECT sum(a) FROM r WHERE k < 5000 AND a % 3 = 0", "index r_k over 1 range alone", ""),
        (
            "SELECT * FROM r WHERE a = 5 AND b = 7",
            "access: index r_a over 1 range and index r_b over 1 range, about 0 rows",
            "[rows 0,",
        ),
        ("SELECT * FROM r WHERE a = 5 OR b = 7", "index r_a over 1 range or index r_b", ""),
        (
            "SELECT * FROM r WHERE c % 10 = 3 ORDER BY k LIMIT 3",
            "access: index r_k over 1 range in order until 3 rows pass",
            "",
        ),
        ("SELECT max(k) FROM r WHERE c % 10 = 3", "in order until a row passes", ""),
        (
            "SELECT sum(v), sum(d) FROM u JOIN r ON u.k = r.k",
            "access: index r_k for up to about",
            "[rows 20,",
        ),
        ("SELECT id, d FROM r WHERE k IN (SELECT k FROM u)", "access: index r_k for", "[rows 20,"),
        (
            "SELECT v FROM u WHERE NOT EXISTS (FROM r WHERE r.k = u.k)",
            "access: index r_k for",
            "[rows 20,",
        ),
        ("SELECT v, d FROM u LEFT JOIN r ON u.k = r.k", "access: index r_k for", "[rows 20,"),
    ] {
        run(&connection, "SET access_path = 'scan'");
        let want = rows(&connection, sql, false);
        run(&connection, "SET access_path = 'auto'");
        assert_eq!(rows(&connection, sql, false), want, "{sql}");
        let plan = rows(&connection, &format!("EXPLAIN ANALYZE {sql}"), true).unwrap().join("\n");
        assert!(plan.contains(told), "{sql}: {told}\n{plan}");
        let scan = plan.lines().find(|line| line.contains("Scan: r "));
        assert!(scan.is_some_and(|line| line.contains(rows_of_scan)), "{sql}\n{plan}");
    }
    // Few rows pass: the walk is given up, conditions that go together leave more rows than was thought.
    for sql in [
        "SELECT * FROM r WHERE c = 999 AND d = 76 AND id % 3 = 5 ORDER BY k LIMIT 3",
        "SELECT min(k) FROM r WHERE c < 0 AND d >= 0",
        "SELECT count(*), sum(c) FROM r WHERE a < 500 AND b < 500",
    ] {
        run(&connection, "SET access_path = 'scan'");
        let want = rows(&connection, sql, false);
        run(&connection, "SET access_path = 'auto'");
        assert_eq!(rows(&connection, sql, false), want, "{sql}");
    }
}
