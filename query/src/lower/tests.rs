//! Whole statements: golden plan texts, and what must hold of every plan.

use std::{fs, path::Path};

use stoadb_engine::plan::{Plan, ScanPlan};
use stoadb_storage::{Prune, Scalar, prune::PruneOp};

use super::{
    LowerSettings,
    testing::{lowered, lowered_with, plan_text, text},
};

/// Each file of `query/plans` is a query, a line `----` and its plan. `UPDATE_PLANS=1` writes the plans anew.
#[test]
fn test_golden_plans() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 20);
    let mut different = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (sql, wanted) = text.split_once("----\n").unwrap();
        let found = plan_text(sql);
        if found == wanted {
            continue;
        }
        if std::env::var_os("UPDATE_PLANS").is_some() {
            fs::write(&file, format!("{sql}----\n{found}")).unwrap();
        } else {
            different.push(format!("{}\n{found}", file.display()));
        }
    }
    assert!(different.is_empty(), "changed plans (UPDATE_PLANS=1):\n{}", different.join("\n"));
}

/// The condition that reaches the scan of `t`, as text; nothing is optimised, so that lowering itself is seen.
fn condition(predicate: &str) -> String {
    let sql = format!("SELECT a FROM t WHERE {predicate}");
    let lowered = lowered_with(&sql, false, &LowerSettings::default())
        .unwrap_or_else(|error| panic!("{predicate}: {error}"));
    let text = text(&lowered);
    text.split_once(" where ").map(|(_, filter)| filter.trim_end().to_owned()).unwrap_or(text)
}

#[test]
fn test_conditions_are_spelt_out_and_flat() {
    let cases = [
        ("a = 1 AND (b = 2 AND p)", "a = 1 AND b = 2 AND p"),
        ("a = 1 OR (b = 2 OR p)", "a = 1 OR b = 2 OR p"),
        ("a = 1 OR a = 2 OR p OR a = 3", "a IN (1, 2, 3) OR p"),
        ("(a <> 1 AND a <> 2) IS NOT TRUE", "(a NOT IN (1, 2)) IS DISTINCT FROM true"),
        ("a BETWEEN 1 AND 5", "a >= 1 AND a <= 5"),
        ("a NOT BETWEEN 1 AND 5", "a < 1 OR a > 5"),
        ("NOT (a < 5)", "a >= 5"),
        ("NOT (a IS NULL)", "a IS NOT NULL"),
        ("NOT (s LIKE 'x%')", "s NOT LIKE 'x%'"),
        ("NOT (a IN (1, NULL))", "a NOT IN (1, NULL)"),
        ("a IN (1, b)", "a = 1 OR a = b"),
        ("a NOT IN (1, b)", "a <> 1 AND a <> b"),
        ("p IS TRUE", "p IS NOT DISTINCT FROM true"),
        ("p IS NOT FALSE", "p IS DISTINCT FROM false"),
        ("p IS UNKNOWN", "p IS NULL"),
        ("a IS DISTINCT FROM b", "a IS DISTINCT FROM b"),
        ("CASE a WHEN 1 THEN p ELSE NULL END", "CASE WHEN a = 1 THEN p ELSE NULL END"),
        ("a = NULL", "a = NULL"),
        ("NULL AND p", "NULL AND p"),
        ("s ILIKE '%x' ESCAPE '!'", "s ILIKE '%x' ESCAPE '!'"),
        ("s ~ 'x+'", "regexp_like(s, 'x+')"),
        ("s !~* 'x+'", "NOT regexp_like(s, 'x+', 'i')"),
        ("s SIMILAR TO 'a%b'", "regexp_like(s, '(?s)^(?:a.*b)$')"),
    ];
    for (predicate, wanted) in cases {
        assert_eq!(condition(predicate), wanted, "{predicate}");
    }
}

#[test]
fn test_operands_meet_in_one_type() {
    let cases = [
        ("i = a", "CAST(i AS BIGINT) = a"),
        ("i = 5", "i = 5"),
        ("i = 5000000000", "CAST(i AS BIGINT) = 5000000000"),
        ("f > d", "CAST(f AS DOUBLE) > d"),
        ("m = m3", "CAST(m AS DECIMAL(16,3)) = CAST(m3 AS DECIMAL(16,3))"),
        ("s = CAST(s AS TEXT)", "s = s"),
        ("TRY_CAST(CAST(s AS INTEGER) AS INTEGER) > i", "CAST(s AS INTEGER) > i"),
        ("TRY_CAST(s AS INTEGER) > i", "TRY_CAST(s AS INTEGER) > i"),
        ("u + i > 0", "CAST(u AS INTEGER) + i > 0"),
        ("day + 5 > day", "day + 5 > day"),
        ("day - a > day", "day - a > day"),
        (
            "day + INTERVAL '3 days' > day",
            "CAST(day AS TIMESTAMP) + INTERVAL '3 days' > CAST(day AS TIMESTAMP)",
        ),
        ("s || a = s", "concat_op(s, CAST(a AS VARCHAR)) = s"),
        ("(a & 6) = 2", "bit_and_op(a, 6) = 2"),
        ("a // 2 = 1", "a / 2 = 1"),
    ];
    for (predicate, wanted) in cases {
        assert_eq!(condition(predicate), wanted, "{predicate}");
    }
}

#[test]
fn test_unsupported_features_are_named() {
    let cases = [
        ("SELECT a FROM t WHERE rank() OVER (ORDER BY a) = 1", "WHERE chooses rows before"),
        ("SELECT a FROM t WHERE s SIMILAR TO s", "SIMILAR TO"),
    ];
    for (sql, wanted) in cases {
        match lowered_with(sql, true, &LowerSettings::default()) {
            Ok(lowered) => panic!("{sql}: {}", text(&lowered)),
            Err(error) => assert!(error.message.contains(wanted), "{sql}: {error}"),
        }
    }
}

/// What statistics are told of a condition on `t`.
fn prune_of(predicate: &str) -> Option<Prune> {
    fn find(plan: &Plan) -> Option<&ScanPlan> {
        match plan {
            Plan::Scan(scan) => Some(scan),
            other => other.inputs().into_iter().find_map(find),
        }
    }
    let lowered = lowered(&format!("SELECT a FROM t WHERE {predicate}"));
    find(&lowered.plan.root).and_then(|scan| scan.prune.clone())
}

fn is(column: usize, op: PruneOp, value: Scalar) -> Prune {
    Prune::Compare { column, op, value }
}

#[test]
fn test_prune_understands_comparisons_with_constants() {
    let int32 =
        |value: i32| Scalar::from_array(&arrow::array::Int32Array::from(vec![value]), 0).unwrap();
    assert_eq!(prune_of("a > 5"), Some(is(0, PruneOp::Gt, Scalar::int64(5))));
    assert_eq!(prune_of("5 > a"), Some(is(0, PruneOp::Lt, Scalar::int64(5))));
    // The cast to BIGINT loses nothing; the constant goes to the column's type.
    assert_eq!(prune_of("i >= 7"), Some(is(2, PruneOp::GtEq, int32(7))));
    assert_eq!(prune_of("a IS NULL"), Some(Prune::IsNull { column: 0 }));
    assert_eq!(prune_of("s IS NOT NULL"), Some(Prune::IsNotNull { column: 8 }));
    assert_eq!(
        prune_of("a BETWEEN 2 AND 3"),
        Some(Prune::And(vec![
            is(0, PruneOp::GtEq, Scalar::int64(2)),
            is(0, PruneOp::LtEq, Scalar::int64(3))
        ]))
    );
    let values = (1..=5).map(Scalar::int64).collect();
    assert_eq!(prune_of("a IN (1, 2, 3, 4, 5)"), Some(Prune::In { column: 0, values }));
    assert_eq!(
        prune_of("s LIKE 'ab%c'"),
        Some(Prune::And(vec![
            is(8, PruneOp::GtEq, Scalar::text("ab")),
            is(8, PruneOp::Lt, Scalar::text("ac"))
        ]))
    );
}

#[test]
fn test_prune_says_nothing_where_it_knows_nothing() {
    assert_eq!(prune_of("a + 1 > 5 OR a = 3"), None);
    assert_eq!(prune_of("s NOT LIKE 'ab%'"), None);
    assert_eq!(prune_of("s LIKE '%ab'"), None);
    assert_eq!(prune_of("s ILIKE 'ab%'"), None);
    assert_eq!(prune_of("a > b"), None);
    // One half of a conjunction is enough, of a disjunction it is not.
    assert_eq!(prune_of("a > 5 AND a + b > 3"), Some(is(0, PruneOp::Gt, Scalar::int64(5))));
    assert_eq!(
        prune_of("a > 5 OR b = 3"),
        Some(Prune::Or(vec![
            is(0, PruneOp::Gt, Scalar::int64(5)),
            is(1, PruneOp::Eq, Scalar::int64(3))
        ]))
    );
}

#[test]
fn test_scalar_subqueries_run_once() {
    let sql = "SELECT a FROM t WHERE a > (SELECT avg(k) FROM small) AND b < (SELECT avg(k) FROM small) + 1
        AND i < (SELECT avg(k) FROM big)";
    assert_eq!(lowered(sql).plan.subqueries.len(), 2);
}

#[test]
fn test_limits_reach_the_sort_and_keep_the_offset() {
    let text = plan_text("SELECT a FROM t ORDER BY b DESC LIMIT 10 OFFSET 5");
    assert!(text.contains("Limit: 10 offset 5"), "{text}");
    assert!(text.contains("Sort: b DESC limit 15"), "{text}");
    let error = lowered_with("SELECT a FROM t LIMIT -1", true, &LowerSettings::default());
    assert!(error.is_err());
}

#[test]
fn test_quantiles_take_their_fraction_out_of_the_arguments() {
    let text = plan_text(
        "SELECT percentile_cont(0.25) WITHIN GROUP (ORDER BY d DESC), string_agg(s, '-' ORDER BY a), \
         count(DISTINCT b) FILTER (WHERE p), min(DISTINCT a) FROM t",
    );
    assert!(text.contains("quantile_cont(d, -0.25)"), "{text}");
    assert!(text.contains("string_agg(s, '-' ORDER BY a)"), "{text}");
    assert!(text.contains("count(DISTINCT b) FILTER (WHERE p)"), "{text}");
    assert!(text.contains("min(a)"), "{text}");
}

#[test]
fn test_what_is_named_twice_runs_once() {
    let twice = "WITH x AS (SELECT a, count(*) AS c FROM t GROUP BY a)
                 SELECT l.a, r.c FROM x l JOIN x r ON l.a = r.a WHERE l.c > 1";
    let plan = text(&lowered(twice));
    assert_eq!(plan.matches("Aggregate").count(), 1, "{plan}");
    assert_eq!(plan.matches("Shared 0").count(), 2, "{plan}");
    let in_subquery = "WITH x AS (SELECT a, sum(i) AS s FROM t GROUP BY a)
                       SELECT a FROM x WHERE s = (SELECT max(s) FROM x)";
    let plan = text(&lowered(in_subquery));
    assert_eq!(plan.matches("Aggregate: by").count(), 1, "{plan}");
    let written = lowered_with(twice, true, &LowerSettings { optimize: false }).unwrap();
    assert_eq!(text(&written).matches("Aggregate").count(), 2);
}
