//! Orders and sides: sane for TPC-H's sizes, and never a different answer, by the naive evaluation.

use std::sync::Arc;

use stoadb_engine::plan::{JoinKind, Plan};

use crate::lower::{
    LowerSettings,
    naive::run,
    testing::{Stub, Stubs, lowered, lowered_over, plan_text},
};

const WRITTEN: LowerSettings = LowerSettings { optimize: false };

/// Relations `r0`, `r1`, .. of columns a, b, c with small values and some NULLs, of very different sizes.
fn relations(seed: u64) -> Stubs {
    const NAMES: [&str; 5] = ["r0", "r1", "r2", "r3", "r4"];
    const SIZES: [u64; 5] = [13, 2, 7, 4, 1];
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let stubs = NAMES.iter().enumerate().map(|(i, name)| {
        let size = SIZES[(i + seed as usize) % SIZES.len()];
        let mut value = || if next(6) == 0 { None } else { Some(next(4) as i64) };
        let data = (0..size).map(|_| vec![value(), value(), value()]).collect();
        Arc::new(Stub::of_rows(name, &["a", "b", "c"], data))
    });
    Stubs(stubs.collect())
}

/// Queries whose answers must not depend on order, sides or rewrites.
const QUERIES: &[&str] = &[
    "select r0.a, r1.b, r2.c from r0, r1, r2 where r0.a = r1.a and r1.b = r2.b",
    "select r0.a, r1.b, r2.c, r3.a from r0, r1, r2, r3 where r0.a = r1.a and r1.a = r2.a and r2.a = r3.a",
    "select r0.c, r1.c from r0, r1, r2 where r0.a = r2.a and r0.b = r2.a and r1.a = r2.a and r1.b < r0.c",
    "select r0.a, r1.a, r2.a from r0, r1, r2 where r0.a = 1 and r0.a = r1.a and r1.a = r2.b",
    "select r0.a, r1.b, r2.c from r0, r1, r2 where r0.a + r1.a = r2.a",
    "select r0.a, r1.b, r2.c from r0, r1, r2 where r0.a + r1.a = r2.a + r0.b and r1.c = r2.c",
    "select r0.a, r1.b, r4.c from r0, r1, r4 where r0.a = r1.a or r0.b = r4.b",
    "select r0.a, r1.b from r0 cross join r1",
    "select x.a, y.b, z.c from r0 x, r0 y, r0 z where x.a = y.b and y.c = z.c and x.b is not distinct from z.b",
    "select r0.a, r0.b, r1.c, r2.b, r3.c, r4.a from r0 join r1 on r0.a = r1.a join r2 on r1.b = r2.b and r2.c <> 2 join r3 on r3.a = r0.a and r3.b = r2.b join r4 on r4.c = r0.c",
    "select r0.a, r1.b from r0 left join r1 on r0.a = r1.a and r1.b > 1",
    "select r0.a, r1.b from r0 left join r1 on r0.a = r1.a and r0.b > 1",
    "select r1.a, r0.b from r1 left join r0 on r0.a = r1.a and r0.b > r1.b",
    "select r0.a, r1.b from r0 right join r1 on r0.a = r1.a and r1.b > 1",
    "select r1.a, r0.b from r1 right join r0 on r0.a = r1.a and r1.b < r0.c",
    "select r0.a, r1.b from r0 full join r1 on r0.a = r1.a and r0.b <= r1.b",
    "select r1.a, r0.b, r2.c from r1 full join r0 on r0.a = r1.a join r2 on r2.a = r0.b",
    "select r0.a, r1.b, r2.c from r0 left join (r1 join r2 on r1.a = r2.a) on r0.a = r2.b where r0.b is not null",
    "select r0.a from r0 left join r1 on r0.a = r1.a where r1.b is null",
    "select a, b from r0 where a in (select b from r1)",
    "select a, b from r1 where a in (select b from r0)",
    "select a, b from r0 where a not in (select b from r1)",
    "select a, b from r1 where a not in (select b from r0 where b is not null)",
    "select a, b from r0 where exists (select 1 from r1 where r1.a = r0.a and r1.b <> r0.b)",
    "select a, b from r1 where exists (select 1 from r0 where r1.a = r0.a and r1.b <> r0.b)",
    "select a, b from r0 where not exists (select 1 from r1 where r1.a = r0.a and r1.b <> r0.b)",
    "select a, b from r1 where not exists (select 1 from r0 where r1.a = r0.a and r1.b <> r0.b)",
    "select a, b from r0 where b = 1 or exists (select 1 from r1 where r1.a = r0.a)",
    "select a, b from r1 where b = 1 or a in (select b from r0)",
    "select a, b from r0 intersect select a, b from r1",
    "select a from r0 except select b from r1",
    "select a, b from r0 where c > (select min(c) from r1)",
    "select r0.a, r0.b from r0 where c >= (select max(c) from r1 where r1.a = r0.a)",
    "select r0.a, s.n from r0, (select a, count(*) as n, sum(b) as s from r1 group by a) s, r2 where r0.a = s.a and s.s = r2.b",
    "select a, b, grouping(a, b), count(*), sum(c) from r0 group by cube (a, b)",
    "select a, b, count(*) from r0 group by grouping sets ((a), (a), (b), ())",
    "select t.a, t.k from (select a, 7 as k from r0 union all select b, 8 from r1) t join r2 on t.a = r2.a where t.k = 8",
    "select distinct r0.a, r1.b from r0, r1 where r0.a = r1.a",
    "select count(*), count(r0.a), count(distinct r1.b), min(r2.c) filter (where r0.b > 1) from r0, r1, r2 where r0.a = r1.a and r2.b = r1.b",
    "select x.n from (select a + b as n, c from r0) x, r1, r2 where x.n = r1.a and x.c = r2.c and r1.b = r2.b",
    "select case a when 1 then b when 2 then c else 0 end from r0 where a between 1 and 2 or b not in (1, 2)",
    "select a from r0 where (a = 1 or a = 2 or b is null) and (c <> 1 and c <> 3) is not true",
    "select a from r0 where not (a < b) and not (a is null or b = c)",
];

#[test]
fn test_orders_and_sides_never_change_an_answer() {
    for seed in 0..10 {
        let stubs = relations(seed);
        for sql in QUERIES {
            let mut answers = Vec::new();
            for (optimizer, join_order) in
                [(false, false), (true, false), (true, true), (false, true)]
            {
                let settings = LowerSettings { optimize: join_order };
                let lowered = lowered_over(&stubs, sql, optimizer, &settings)
                    .unwrap_or_else(|error| panic!("{sql}: {error}"));
                let mut rows = run(&lowered.plan, &stubs);
                rows.sort();
                answers.push((rows, crate::lower::testing::text(&lowered)));
            }
            for (rows, text) in &answers[1..] {
                let (first, plan) = &answers[0];
                assert_eq!(first, rows, "seed {seed}: {sql}\n{plan}\n{text}");
            }
        }
    }
}

/// The joins of a plan from the root down, and whether each exists in either setting.
fn kinds(plan: &Plan, found: &mut Vec<JoinKind>) {
    if let Plan::Join(join) = plan {
        found.push(join.kind);
    }
    plan.inputs().into_iter().for_each(|input| kinds(input, found));
}

#[test]
fn test_sides_are_exchanged_when_the_build_side_is_much_larger() {
    let cases = [
        (
            "select small.v, big.v from small left join big on big.fk = small.k",
            JoinKind::Left,
            JoinKind::Right,
        ),
        (
            "select small.v, big.v from big right join small on big.fk = small.k",
            JoinKind::Right,
            JoinKind::Right,
        ),
        (
            "select small.v, big.v from big left join small on big.fk = small.k",
            JoinKind::Left,
            JoinKind::Left,
        ),
        (
            "select small.v, big.v from small right join big on big.fk = small.k",
            JoinKind::Right,
            JoinKind::Left,
        ),
        (
            "select small.v, big.v from small full join big on big.fk = small.k",
            JoinKind::Full,
            JoinKind::Full,
        ),
        (
            "select v from small where k in (select fk from big)",
            JoinKind::LeftSemi,
            JoinKind::RightSemi,
        ),
        (
            "select v from big where fk in (select k from small)",
            JoinKind::LeftSemi,
            JoinKind::LeftSemi,
        ),
        (
            "select v from small where not exists (select 1 from big where fk = small.k)",
            JoinKind::LeftAnti,
            JoinKind::RightAnti,
        ),
        (
            "select v from small where k not in (select fk from big)",
            JoinKind::LeftAntiNullAware,
            JoinKind::LeftAntiNullAware,
        ),
        (
            "select v from small where k > 3 or exists (select 1 from big where fk = small.k)",
            JoinKind::LeftMark,
            JoinKind::LeftMark,
        ),
        (
            "select small.v, big.v from small, big where big.fk = small.k",
            JoinKind::Inner,
            JoinKind::Inner,
        ),
    ];
    for (sql, written, chosen) in cases {
        for (settings, wanted) in [(WRITTEN, written), (LowerSettings::default(), chosen)] {
            let lowered = lowered_over(&Stubs::new(), sql, true, &settings).unwrap();
            let mut found = Vec::new();
            kinds(&lowered.plan.root, &mut found);
            assert_eq!(found, [wanted], "{sql} {settings:?}");
            // Of exchanged or inner joins, the small relation is built from.
            if settings.optimize
                && !matches!(wanted, JoinKind::LeftAntiNullAware | JoinKind::LeftMark)
            {
                let text = crate::lower::testing::text(&lowered);
                let (big, small) = (text.find("Scan: big"), text.find("Scan: small"));
                assert!(big < small, "{text}");
            }
        }
    }
}

/// The relations of a plan from top to bottom: at each join the probe side first.
fn scans(sql: &str) -> Vec<String> {
    let text = plan_text(sql);
    let scan =
        |line: &str| Some(line.trim_start().strip_prefix("Scan: ")?.split(' ').next()?.to_owned());
    text.lines().filter_map(scan).collect()
}

#[test]
fn test_unavoidable_cross_joins_build_from_the_smaller_sides() {
    assert_eq!(scans("select 1 from small, big, region"), ["big", "region", "small"]);
    // Connected through a third relation: no cross join.
    let text = plan_text(
        "select 1 from small, region, big where big.k = small.k and big.fk = r_regionkey",
    );
    assert!(!text.contains("cross"), "{text}");
}

#[test]
fn test_implied_equalities_give_one_key_per_join_and_spread_constants() {
    let sql = "select 1 from big x, big y, big z where x.k = y.k and y.k = z.k and x.k = 5";
    let text = plan_text(sql);
    assert_eq!(text.matches("where k = 5").count(), 3, "{text}");
    let sql = "select 1 from big x, big y, big z where x.k = y.k and y.k = z.k and x.k = z.k";
    let text = plan_text(sql);
    assert_eq!(text.matches("k = k").count(), 2, "{text}");
}

#[test]
fn test_many_relations_take_the_greedy_way_and_stay_connected() {
    let from: Vec<String> = (0..30).map(|i| format!("big b{i}")).collect();
    let on: Vec<String> = (1..30).map(|i| format!("b{}.k = b{i}.fk", i - 1)).collect();
    let sql = format!("select count(*) from {} where {}", from.join(", "), on.join(" and "));
    let text = plan_text(&sql);
    assert_eq!(text.matches("Join: inner on").count(), 29, "{text}");
    assert_eq!(text, plan_text(&sql));
}

#[test]
fn test_tpch_probes_with_the_large_relation() {
    let sql = "select count(*) from customer, orders, lineitem where c_mktsegment = 'BUILDING' and c_custkey = o_custkey
        and l_orderkey = o_orderkey and o_orderdate < date '1995-03-15' and l_shipdate > date '1995-03-15'";
    assert_eq!(scans(sql), ["lineitem", "orders", "customer"]);
    let sql = "select count(*) from part, supplier, lineitem, partsupp, orders, nation where s_suppkey = l_suppkey
        and ps_suppkey = l_suppkey and ps_partkey = l_partkey and p_partkey = l_partkey and o_orderkey = l_orderkey
        and s_nationkey = n_nationkey and p_name like '%green%'";
    let order = scans(sql);
    let place = |name: &str| order.iter().position(|scan| scan == name).unwrap();
    assert!(
        place("lineitem") < place("partsupp") && place("partsupp") < place("part"),
        "{order:?}"
    );
}

#[test]
fn test_expected_rows_follow_the_lines_of_explain() {
    let lowered =
        lowered("select count(*) from big, small where big.fk = small.k and small.fk = 3");
    let rows = super::expected_rows(&lowered.plan, &lowered.relations);
    let text = crate::lower::testing::text(&lowered);
    assert_eq!(rows.len(), text.lines().count(), "{text}");
    assert_eq!(rows[0], 1);
    assert_eq!(rows[rows.len() - 1], 10);
    assert!(rows.contains(&1_000_000));
}
