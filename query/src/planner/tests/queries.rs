//! Benchmark queries, types, deep expressions.

use std::time::Instant;

use super::*;

/// The tables of TPC-H.
pub(crate) const TPCH: &[(&str, &str)] = &[
    ("region", "r_regionkey bigint, r_name text, r_comment text"),
    ("nation", "n_nationkey bigint, n_name text, n_regionkey bigint, n_comment text"),
    (
        "supplier",
        "s_suppkey bigint, s_name text, s_address text, s_nationkey bigint, s_phone text, s_acctbal decimal, s_comment text",
    ),
    (
        "customer",
        "c_custkey bigint, c_name text, c_address text, c_nationkey bigint, c_phone text, c_acctbal decimal, c_mktsegment text, c_comment text",
    ),
    (
        "part",
        "p_partkey bigint, p_name text, p_mfgr text, p_brand text, p_type text, p_size int, p_container text, p_retailprice decimal, p_comment text",
    ),
    (
        "partsupp",
        "ps_partkey bigint, ps_suppkey bigint, ps_availqty int, ps_supplycost decimal, ps_comment text",
    ),
    (
        "orders",
        "o_orderkey bigint, o_custkey bigint, o_orderstatus text, o_totalprice decimal, o_orderdate date, o_orderpriority text, o_clerk text, o_shippriority int, o_comment text",
    ),
    (
        "lineitem",
        "l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber int, l_quantity decimal, l_extendedprice decimal, l_discount decimal, l_tax decimal, l_returnflag text, l_linestatus text, l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct text, l_shipmode text, l_comment text",
    ),
];

#[test]
fn test_tpch_plans() {
    let catalog = StubCatalog::new(TPCH);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/queries/tpch");
    let mut planned = 0;
    for number in 1..=22 {
        let sql = std::fs::read_to_string(format!("{folder}/q{number:02}.sql")).unwrap();
        for optimizer in [true, false] {
            let settings = PlannerSettings { optimizer, ..PlannerSettings::default() };
            let statement = &sql::parse(&sql).unwrap()[0].statement;
            let result = plan_query(statement, &catalog, &settings, &[]);
            let result = result.unwrap_or_else(|error| panic!("q{number}: {}", error.render(&sql)));
            assert!(!result.output_names.is_empty());
            planned += 1;
            if number == 13 && optimizer {
                assert_eq!(result.output_names, ["c_count", "custdist"]);
            }
            if number == 1 {
                let sum = "DECIMAL(38,2)";
                assert_eq!(types(&result)[2..4], [sum, sum]);
                assert_eq!(
                    types(&result)[6..],
                    ["DECIMAL(38,16)", "DECIMAL(38,16)", "DECIMAL(38,16)", "BIGINT"]
                );
            }
        }
    }
    assert_eq!(planned, 44);
}

#[test]
fn test_types() {
    for (expr, expected) in [
        ("1 / 2", "BIGINT"),
        ("1 // 2", "BIGINT"),
        ("e // 2", "DOUBLE"),
        ("1.5", "DECIMAL(2,1)"),
        ("1e5", "DOUBLE"),
        ("1.5e-3", "DOUBLE"),
        ("0x1F", "BIGINT"),
        ("1_000", "BIGINT"),
        ("'a' || c", "VARCHAR"),
        ("extract(year FROM g)", "BIGINT"),
        ("extract(second FROM g)", "DOUBLE"),
        ("date_part('epoch', g)", "DOUBLE"),
        ("year(f)", "BIGINT"),
        ("month(g)", "BIGINT"),
        ("TIMESTAMP '2020-01-01 00:00:00'", "TIMESTAMP"),
        ("'2020-01-01'::timestamp", "TIMESTAMP"),
        ("g + INTERVAL '1 day'", "TIMESTAMP"),
        ("a = 5", "BOOLEAN"),
        ("if(h, 1, 2)", "BIGINT"),
        ("ifnull(a, 0)", "BIGINT"),
        ("len(c)", "INTEGER"),
        ("CAST(a AS VARCHAR(10))", "VARCHAR"),
        ("CAST(a AS HUGEINT)", "DECIMAL(38,0)"),
        ("CAST(a AS UTINYINT)", "UTINYINT"),
        ("TRY_CAST(c AS DOUBLE)", "DOUBLE"),
        ("a::double", "DOUBLE"),
        ("c::blob", "BLOB"),
    ] {
        assert_eq!(types(&ok(&format!("SELECT {expr} FROM t"))), [expected], "{expr}");
    }
    for (expr, expected) in [
        ("count(*)", "BIGINT"),
        ("count(a)", "BIGINT"),
        ("count(DISTINCT a)", "BIGINT"),
        ("sum(b)", "BIGINT"),
        ("sum(d)", "DECIMAL(38,2)"),
        ("sum(e)", "DOUBLE"),
        ("avg(a)", "DOUBLE"),
        ("avg(d)", "DECIMAL(38,16)"),
        ("mean(e)", "DOUBLE"),
        ("min(c)", "VARCHAR"),
        ("stddev(a)", "DOUBLE"),
        ("variance(d)", "DOUBLE"),
        ("median(a)", "DOUBLE"),
        ("quantile_cont(a, 0.5)", "DOUBLE"),
        ("percentile_cont(0.5) WITHIN GROUP (ORDER BY a)", "DOUBLE"),
        ("percentile_disc(0.5) WITHIN GROUP (ORDER BY a DESC)", "BIGINT"),
        ("mode() WITHIN GROUP (ORDER BY c)", "VARCHAR"),
        ("string_agg(c, ',' ORDER BY a)", "VARCHAR"),
        ("group_concat(c)", "VARCHAR"),
        ("list(a)", "BIGINT[]"),
        ("array_agg(c ORDER BY a DESC)", "VARCHAR[]"),
        ("arg_max(c, a)", "VARCHAR"),
        ("min_by(c, a)", "VARCHAR"),
        ("bool_and(h)", "BOOLEAN"),
        ("every(h)", "BOOLEAN"),
        ("bit_xor(b)", "INTEGER"),
        ("first(c ORDER BY a)", "VARCHAR"),
        ("last(c)", "VARCHAR"),
        ("any_value(c)", "VARCHAR"),
        ("corr(a, e)", "DOUBLE"),
        ("count(*) FILTER (WHERE a > 1)", "BIGINT"),
        ("count_if(a > 1)", "BIGINT"),
        ("product(b)", "DOUBLE"),
    ] {
        assert_eq!(types(&ok(&format!("SELECT {expr} FROM t"))), [expected], "{expr}");
    }
    for (expr, expected) in [
        ("row_number() OVER ()", "BIGINT"),
        ("rank() OVER (ORDER BY a)", "BIGINT"),
        ("percent_rank() OVER (ORDER BY a)", "DOUBLE"),
        ("ntile(4) OVER (ORDER BY a)", "BIGINT"),
        ("lag(c) OVER (ORDER BY a)", "VARCHAR"),
        ("lead(c, 2, 'x') OVER (PARTITION BY b ORDER BY a)", "VARCHAR"),
        ("first_value(c) OVER w", "VARCHAR"),
        ("nth_value(c, 2) OVER W", "VARCHAR"),
        (
            "sum(a) OVER (PARTITION BY b ORDER BY f ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
            "BIGINT",
        ),
        ("count(*) OVER ()", "BIGINT"),
    ] {
        let sql = format!("SELECT {expr} FROM t WINDOW w AS (ORDER BY a)");
        assert_eq!(types(&ok(&sql)), [expected], "{expr}");
    }
}

#[test]
fn test_friendly_syntax() {
    for (sql, columns) in [
        ("FROM t", 8),
        ("FROM t SELECT a", 1),
        ("FROM t WHERE a > 1", 8),
        ("SELECT a, b, FROM t", 2),
        ("SELECT a FROM t WHERE a == 1", 1),
        ("SELECT a FROM t FETCH FIRST 3 ROWS ONLY", 1),
        ("SELECT a FROM t OFFSET 2 FETCH NEXT ROW ONLY", 1),
        ("SELECT a, count(*) FROM t GROUP BY ALL ORDER BY ALL", 2),
        ("SELECT b, a + 1 FROM t ORDER BY ALL DESC", 2),
        ("SELECT a FROM t SEMI JOIN u ON t.a = u.a", 1),
        ("SELECT * FROM t ANTI JOIN u USING (a)", 8),
        ("SELECT * EXCLUDE (a) FROM t", 7),
        ("SELECT * REPLACE (a + 1 AS a) FROM t", 8),
        ("SELECT DISTINCT ON (b) b, a FROM t ORDER BY b, a", 2),
        ("SELECT a FROM t QUALIFY row_number() OVER (PARTITION BY b ORDER BY a) = 1", 1),
        ("SELECT a FROM t LIMIT 10 OFFSET 5", 1),
        ("SELECT [1, 2, 3], {'x': 1}, [1, 2][1]", 3),
        ("SELECT sum(a) FROM t GROUP BY ROLLUP (b, c)", 1),
        ("SELECT b, grouping(b), sum(a) FROM t GROUP BY CUBE (b)", 3),
        ("VALUES (1, 'a'), (2, 'b')", 2),
        ("SELECT a FROM t WHERE a IN (SELECT a FROM u)", 1),
        ("SELECT a FROM t WHERE a NOT IN (SELECT a FROM u)", 1),
        ("SELECT a FROM t WHERE a = ANY (SELECT a FROM u)", 1),
        ("SELECT (SELECT max(a) FROM u), a FROM t", 2),
        ("SELECT a, (SELECT max(u.b) FROM u WHERE u.a = t.a) FROM t", 2),
        ("TABLE t", 8),
        ("SELECT a FROM t UNION BY NAME SELECT a, x FROM u", 2),
        ("WITH x AS MATERIALIZED (SELECT a FROM t) SELECT * FROM x", 1),
        ("SELECT E'a\\n', $$text$$", 2),
        ("SELECT a FROM t WHERE c ILIKE 'A%' AND c NOT LIKE '_x' AND c ~ 'b'", 1),
        ("SELECT CASE b WHEN 1 THEN 'x' END, coalesce(c, 'y'), nullif(a, 1) FROM t", 3),
        ("SELECT a FROM t WHERE f BETWEEN DATE '2020-01-01' AND current_date", 1),
    ] {
        assert_eq!(ok(sql).output_names.len(), columns, "{sql}");
    }
}

#[test]
fn test_filters_stay_above_scans() {
    let plan = text("SELECT a FROM t WHERE b = 1 AND c = 'x'");
    assert!(plan.contains("Filter:") && !plan.contains("filters="), "{plan}");
}

#[test]
fn test_parameters() {
    let sql = "SELECT a FROM t WHERE b = $2 AND c = $1 LIMIT $3";
    let settings = PlannerSettings::default();
    let planned = plan_with(sql, &settings, &[]).unwrap();
    assert_eq!(planned.parameters.len(), 3);
    assert_eq!(planned.parameters[0], Some(LogicalType::Text));
    assert_eq!(planned.parameters[1], Some(LogicalType::Int32));
    let values = [Some(Scalar::text("x")), Some(Scalar::int64(7)), Some(Scalar::int64(3))];
    let plan = plan_with(sql, &settings, &values).unwrap().plan.display_indent().to_string();
    assert!(!plan.contains('$') && plan.contains("fetch=3") && plan.contains("7"), "{plan}");
    let marks = "SELECT a FROM t WHERE a > ? AND a < ?";
    let planned =
        plan_with(marks, &settings, &[Some(Scalar::int64(1)), Some(Scalar::int64(9))]).unwrap();
    let plan = planned.plan.display_indent().to_string();
    assert!(plan.contains("> Int64(1)") && plan.contains("< Int64(9)"), "{plan}");
}

#[test]
fn test_parameters_have_the_types_of_constants() {
    use stoadb_storage::LogicalType as L;
    let types = |expr: &str| {
        let sql =
            format!("SELECT a FROM (SELECT a, b, a + 0.5e0 AS d, 1.25 AS m FROM t) v WHERE {expr}");
        plan_with(&sql, &PlannerSettings::default(), &[]).unwrap().parameters
    };
    assert_eq!(types("d > $1"), [Some(L::Float64)]);
    assert_eq!(types("d + m > $1"), [Some(L::Float64)]);
    assert_eq!(types("d * 1.5 BETWEEN $1 AND $2"), [Some(L::Float64), Some(L::Float64)]);
    assert_eq!(types("m = $1"), [Some(L::Decimal { precision: 3, scale: 2 })]);
    assert_eq!(types("b + $1 > 0"), [Some(L::Int32)]);
    assert_eq!(types("d + m IN ($1, 2)"), [Some(L::Float64)]);
}

#[test]
fn test_deep_expressions_plan_fast() {
    let limit = if cfg!(debug_assertions) { 20.0 } else { 1.0 };
    let join = |terms: Vec<String>, by: &str| terms.join(by);
    let numbers = 0..10_000;
    let ors = join((0..5_000).map(|i| format!("(a = {i} AND b = {i})")).collect(), " OR ");
    let ands = join(numbers.clone().map(|i| format!("a <> {i}")).collect(), " AND ");
    let sum = join(numbers.clone().map(|i| format!("a * {i}")).collect(), " + ");
    let list = join(numbers.map(|i| i.to_string()).collect(), ", ");
    for sql in [
        format!("SELECT a FROM t WHERE {ors}"),
        format!("SELECT a FROM t WHERE {ands}"),
        format!("SELECT {sum} FROM t"),
        format!("SELECT a FROM t WHERE a IN ({list})"),
        format!("SELECT {}a{} FROM t", "(".repeat(300), ")".repeat(300)),
    ] {
        let start = Instant::now();
        plan_with(&sql, &PlannerSettings::default(), &[]).unwrap_or_else(|e| panic!("{e}"));
        let seconds = start.elapsed().as_secs_f64();
        assert!(seconds < limit, "{seconds} s for {}", &sql[..60]);
    }
}

#[test]
fn test_parameters_beside_moments() {
    let first =
        |sql: &str| plan_with(sql, &PlannerSettings::default(), &[]).unwrap().parameters[0].clone();
    assert_eq!(first("SELECT f + $1 FROM t"), Some(LogicalType::Int64));
    assert_eq!(first("SELECT $1 + f FROM t"), Some(LogicalType::Int64));
    assert_eq!(first("SELECT g + $1 FROM t"), Some(LogicalType::Interval));
}
