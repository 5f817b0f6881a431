//! Rewrites on which answers depend: NULLs of NOT IN, outer joins, constants, limits.

use super::*;

#[test]
fn test_not_in_keeps_nulls() {
    // A column as a conjunct: the null-aware join.
    let plan = text("SELECT a FROM t WHERE a = 3 AND a NOT IN (SELECT a FROM u)");
    assert!(plan.contains("LeftAnti Join:") && plan.contains("null_aware"), "{plan}");
    assert!(!plan.contains("u.a = Int64(3)"), "{plan}");
    // A constant: no null-aware join, whose filter would drop the NULLs of the subquery.
    let plan = text("SELECT a FROM t WHERE 3 NOT IN (SELECT a FROM u)");
    assert!(plan.contains("count(u.a)") && !plan.contains("null_aware"), "{plan}");
    let plan = text("SELECT a FROM t WHERE NULL NOT IN (SELECT a FROM u)");
    assert!(!plan.contains("null_aware"), "{plan}");
    // Below OR: a mark, and whether the value or one of the subquery is NULL.
    for sql in [
        "SELECT a FROM t WHERE b = 1 OR a NOT IN (SELECT a FROM u)",
        "SELECT a FROM t WHERE NOT (b = 1 AND a IN (SELECT a FROM u))",
        "SELECT a FROM t WHERE b = 1 OR NOT a IN (SELECT a FROM u)",
    ] {
        let plan = text(sql);
        assert!(plan.contains("LeftMark") && plan.contains("IS NULL"), "{plan}");
    }
    // IN below OR needs no NULLs.
    let plan = text("SELECT a FROM t WHERE b = 1 OR a IN (SELECT a FROM u)");
    assert!(plan.contains("LeftMark") && !plan.contains("IS NULL"), "{plan}");
}

#[test]
fn test_constants_of_outer_joins_stay_below_the_join() {
    let plan = text("SELECT t.a, s.k FROM t LEFT JOIN (SELECT a, 5 AS k FROM u) s ON t.a = s.a");
    let (join, constant) = (plan.find("Left Join").unwrap(), plan.find("Int64(5) AS k").unwrap());
    assert!(join < constant, "{plan}");
    let plan = text(
        "SELECT t.a FROM t LEFT JOIN (SELECT a, 5 AS k FROM u) s ON t.a = s.a WHERE s.k IS NULL",
    );
    assert!(plan.contains("s.k IS NULL") && plan.contains("Left Join"), "{plan}");
}

#[test]
fn test_limits_over_unions_stay_above() {
    for sql in [
        "SELECT * FROM (SELECT a, 1 AS k FROM t UNION ALL SELECT a, 2 AS k FROM u) ORDER BY k, a LIMIT 3",
        "SELECT a, 1 AS k FROM t UNION ALL SELECT a, 2 AS k FROM u ORDER BY k, a LIMIT 3",
    ] {
        let plan = text(sql);
        assert!(plan.starts_with("Sort: k ASC NULLS LAST, a ASC NULLS LAST, fetch=3"), "{plan}");
    }
}

#[test]
fn test_parts_of_dates_stay_functions() {
    let plan = text("SELECT a FROM t WHERE extract(year FROM g) IN (2020, 2021)");
    assert!(plan.contains("IN ([Int64(2020), Int64(2021)])"), "{plan}");
    let plan = text("SELECT f + 7, f - 7 FROM t");
    assert!(plan.contains("days: 7") || plan.contains("days: -7"), "{plan}");
}

#[test]
fn test_constants_are_left_to_the_engine() {
    let plan = text("SELECT 9223372036854775807 + 1, CAST(1.5 AS INT)");
    assert!(plan.contains("Int64(9223372036854775807) + Int64(1)"), "{plan}");
    assert!(plan.contains("CAST(Decimal128(1.5,2,1) AS Int32)"), "{plan}");
}

#[test]
fn test_null_order() {
    assert!(text("SELECT a FROM t ORDER BY a").contains("a ASC NULLS LAST"));
    assert!(text("SELECT a FROM t ORDER BY a DESC").contains("a DESC NULLS LAST"));
    assert!(text("SELECT a FROM t ORDER BY a DESC NULLS FIRST").contains("a DESC NULLS FIRST"));
    let settings =
        PlannerSettings { default_null_order: NullOrder::Largest, ..PlannerSettings::default() };
    let plan = plan_with("SELECT a FROM t ORDER BY a DESC", &settings, &[]).unwrap().plan;
    assert!(plan.display_indent().to_string().contains("a DESC NULLS FIRST"));
}

#[test]
fn test_exists_ignores_limit() {
    let plan =
        text("SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.a = t.a ORDER BY b LIMIT 1)");
    assert!(plan.contains("LeftSemi") && !plan.contains("Limit"), "{plan}");
}

#[test]
fn test_sorted_subqueries_stay_sorted() {
    assert!(text("SELECT list(a) FROM (SELECT a FROM t ORDER BY b)").contains("Sort:"));
}
