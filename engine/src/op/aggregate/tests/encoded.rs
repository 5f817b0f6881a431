//! Tests that encodings do not show: random filters, expressions and aggregates over encoded columns give the bits that
//! they give over flat ones, and where there is a path nothing is decoded.
//!
//! Invariant: batches are large enough for work to be done once per dictionary entry or offset.

use arrow::array::Int64Array;
use stoadb_storage::{
    ledger::{ColumnCharge, Level, ScanLedger},
    vector::{DictionaryVector, NarrowVector},
};

use super::{properties::bits, *};
use crate::{
    eval::Evaluator,
    expr::{ArithmeticOp, CompareOp},
};

const ROWS: usize = 1500;
const DECIMAL: LogicalType = LogicalType::Decimal { precision: 9, scale: 2 };
const WHOLE: LogicalType = LogicalType::Int64;

fn columns() -> Vec<LogicalType> {
    let micros = LogicalType::Timestamp(stoadb_storage::TimeUnit::Microsecond, None);
    use LogicalType as T;
    vec![T::Int16, T::Int32, T::Int64, T::UInt8, T::Date, DECIMAL, T::Text, micros, T::Boolean]
}

fn literal(ty: &LogicalType, random: &mut Random) -> Expr {
    let array = sample(ty, random, 1, 12);
    Expr::Literal(Scalar::from_array(array.as_ref(), 0).unwrap())
}

fn text_literal(text: &str) -> Expr {
    Expr::Literal(Scalar::text(text))
}

fn function(name: &str, args: Vec<Expr>, ty: LogicalType) -> Expr {
    Expr::Call { function: name.into(), args, ty }
}

fn cast(input: Expr, ty: &LogicalType) -> Expr {
    Expr::Cast { input: Box::new(input), ty: ty.clone(), or_null: false }
}

fn arithmetic(op: ArithmeticOp, left: Expr, right: Expr, ty: &LogicalType) -> Expr {
    Expr::Arithmetic { op, left: Box::new(left), right: Box::new(right), ty: ty.clone() }
}

fn compare(op: CompareOp, left: Expr, right: Expr) -> Expr {
    Expr::Compare { op, left: Box::new(left), right: Box::new(right) }
}

/// A random expression of type bigint.
fn whole(random: &mut Random, depth: usize) -> Expr {
    let leaf = depth == 0;
    match random.below(if leaf { 4 } else { 10 }) {
        0 => cast(column(0, &LogicalType::Int16), &WHOLE),
        1 => cast(column(1, &LogicalType::Int32), &WHOLE),
        2 => column(2, &WHOLE),
        3 => cast(column(3, &LogicalType::UInt8), &WHOLE),
        4 => {
            arithmetic(ArithmeticOp::Add, whole(random, depth - 1), literal(&WHOLE, random), &WHOLE)
        }
        5 => {
            let op = [ArithmeticOp::Subtract, ArithmeticOp::Multiply][random.below(2) as usize];
            arithmetic(op, whole(random, depth - 1), literal(&WHOLE, random), &WHOLE)
        }
        6 => function("length", vec![text(random, depth - 1)], WHOLE),
        7 | 8 => {
            let field = ["year", "month", "dow", "week"][random.below(4) as usize];
            function("date_part", vec![text_literal(field), date(random)], WHOLE)
        }
        _ => Expr::Case {
            branches: vec![(truth(random, depth - 1), whole(random, depth - 1))],
            otherwise: Some(Box::new(whole(random, depth - 1))),
            ty: WHOLE,
        },
    }
}

fn date(random: &mut Random) -> Expr {
    let days = column(4, &LogicalType::Date);
    match random.below(2) {
        0 => days,
        _ => {
            let by = Expr::Literal(
                Scalar::from_array(&arrow::array::Int32Array::from(vec![7]), 0).unwrap(),
            );
            arithmetic(ArithmeticOp::Add, days, by, &LogicalType::Date)
        }
    }
}

fn text(random: &mut Random, depth: usize) -> Expr {
    let own = column(6, &LogicalType::Text);
    match random.below(if depth == 0 { 1 } else { 4 }) {
        0 => own,
        1 => function("upper", vec![own], LogicalType::Text),
        2 => {
            let bound =
                |n: i64| Expr::Literal(Scalar::from_array(&Int64Array::from(vec![n]), 0).unwrap());
            function("substr", vec![own, bound(1), bound(2)], LogicalType::Text)
        }
        _ => cast(whole(random, depth - 1), &LogicalType::Text),
    }
}

fn truth(random: &mut Random, depth: usize) -> Expr {
    use CompareOp as C;
    let ops = [C::Eq, C::NotEq, C::Lt, C::LtEq, C::Gt, C::GtEq, C::Distinct, C::NotDistinct];
    let op = ops[random.below(8) as usize];
    match random.below(if depth == 0 { 7 } else { 10 }) {
        0 => {
            let at = random.below(6) as usize;
            let ty = columns()[at].clone();
            compare(op, column(at, &ty), literal(&ty, random))
        }
        1 => compare(op, whole(random, 0), whole(random, 0)),
        2 => {
            let at = random.below(5) as usize;
            let ty = columns()[at].clone();
            let count = 1 + random.below(12) as usize;
            let list = sample(&ty, random, count, 20);
            let value = |row| Scalar::from_array(list.as_ref(), row).unwrap();
            let list = (0..list.len()).map(value).collect();
            Expr::InList { input: Box::new(column(at, &ty)), list, negated: op == C::NotEq }
        }
        3 => Expr::Like {
            input: Box::new(column(6, &LogicalType::Text)),
            pattern: Box::new(text_literal(["t1%", "%text%", "%2_"][random.below(3) as usize])),
            escape: None,
            negated: op == C::NotEq,
            ignore_case: op == C::Lt,
        },
        4 => {
            let at = random.below(9) as usize;
            Expr::IsNull(Box::new(column(at, &columns()[at])))
        }
        5 => column(8, &LogicalType::Boolean),
        6 => compare(op, column(6, &LogicalType::Text), text_literal("t7")),
        7 => Expr::And(vec![truth(random, depth - 1), truth(random, depth - 1)]),
        8 => Expr::Or(vec![truth(random, depth - 1), truth(random, depth - 1)]),
        _ => compare(op, whole(random, depth - 1), literal(&WHOLE, random)),
    }
}

/// Morsels of flat columns, and the same in encodings drawn at random per morsel and column.
fn morsels(random: &mut Random) -> (Vec<Vec<Batch>>, Vec<Vec<Batch>>) {
    let (mut flat, mut encoded) = (Vec::new(), Vec::new());
    for _ in 0..1 + random.below(3) {
        let nulls = [0, 5][random.below(2) as usize];
        let arrays: Vec<_> = columns().iter().map(|ty| sample(ty, random, ROWS, nulls)).collect();
        let encode = |array: &ArrayRef| {
            let mut all = encodings(array, random);
            all.retain(|vector| !matches!(vector, Vector::Constant { .. }));
            let at = random.below(all.len() as u64) as usize;
            all.swap_remove(at)
        };
        let vectors: Vec<Vector> = arrays.iter().map(encode).collect();
        let whole = |columns: Vec<Vector>| {
            let starts = (0..ROWS).step_by(500);
            let cut = |start| columns.iter().map(|c| c.slice(start, 500)).collect();
            starts.map(|start| Batch::new(cut(start), 500)).collect::<Vec<_>>()
        };
        flat.push(whole(arrays.into_iter().map(Vector::Flat).collect()));
        encoded.push(whole(vectors));
    }
    (flat, encoded)
}

/// The rows for which a predicate is TRUE.
fn filtered(morsels: Vec<Vec<Batch>>, predicate: &Expr) -> Result<Vec<Vec<Batch>>> {
    let program = Program::compile(std::slice::from_ref(predicate), &context(100))?;
    let mut evaluator = Evaluator::new(&program);
    let mut kept = Vec::new();
    for morsel in morsels {
        let mut batches = Vec::new();
        for batch in morsel {
            let rows = evaluator.select(&batch)?;
            batches.push(match rows {
                Some(rows) => batch.refine(rows),
                None => batch,
            });
        }
        kept.push(batches);
    }
    Ok(kept)
}

fn random_plan(random: &mut Random) -> Plan {
    let mut groups = Vec::new();
    for _ in 0..random.below(4) {
        groups.push(match random.below(4) {
            0 => whole(random, 1),
            1 => text(random, 1),
            2 => date(random),
            _ => {
                let at = random.below(9) as usize;
                column(at, &columns()[at])
            }
        });
    }
    let int = LogicalType::Int64;
    let wide = LogicalType::Decimal { precision: 38, scale: 2 };
    let mut calls = vec![call(F::CountStar, vec![], int.clone())];
    for _ in 0..3 {
        let arg = whole(random, 1);
        let text = text(random, 1);
        calls.push(match random.below(9) {
            0 => call(F::Sum, vec![cast(column(0, &LogicalType::Int16), &int)], int.clone()),
            1 => call(F::Avg, vec![arg], LogicalType::Float64),
            2 => call(F::Min, vec![arg], int.clone()),
            3 => call(F::Max, vec![arg], int.clone()),
            4 => call(F::VarSamp, vec![arg], LogicalType::Float64),
            5 => call(F::Sum, vec![column(5, &DECIMAL)], wide.clone()),
            6 => call(F::Max, vec![text], LogicalType::Text),
            7 => AggregateCall { distinct: true, ..call(F::Count, vec![text], int.clone()) },
            _ => call(
                F::Corr,
                vec![arg, cast(column(3, &LogicalType::UInt8), &int)],
                LogicalType::Float64,
            ),
        });
    }
    let schema = columns().into_iter().map(|ty| ColumnDef::new("c", ty)).collect();
    Plan { input: Schema::new(schema), groups, sets: vec![], calls }
}

#[test]
fn test_random_plans_over_encoded_columns_give_the_bits_of_flat_ones() {
    let mut random = Random::new(77);
    let (mut good, mut bad) = (0, 0);
    for round in 0..150 {
        let (flat, encoded) = morsels(&mut random);
        let (predicate, plan) = (truth(&mut random, 2), random_plan(&mut random));
        let mut run =
            |morsels: Vec<Vec<Batch>>| plan.run(&filtered(morsels, &predicate)?, 2, &mut random);
        match (run(flat), run(encoded)) {
            (Ok(expected), Ok(actual)) => {
                good += 1;
                let same = bits(&expected) == bits(&actual);
                assert!(same, "{round}: {predicate:?} {:?} {:?}", plan.groups, plan.calls);
            }
            (Err(_), Err(_)) => bad += 1,
            (expected, actual) => {
                let errors = (expected.err(), actual.err());
                panic!("{round}: {errors:?} of {predicate:?} {:?} {:?}", plan.groups, plan.calls)
            }
        }
    }
    assert!(good > 50 && bad < good, "{good} {bad}");
}

/// The only way in which a vector of a morsel can be decoded is by its charge.
fn charged(vector: Vector, charge: &ColumnCharge) -> Vector {
    let charge = Some(charge.clone());
    match vector {
        Vector::Dictionary(vector) => Vector::Dictionary(DictionaryVector { charge, ..vector }),
        Vector::Narrow(vector) => Vector::Narrow(NarrowVector { charge, ..vector }),
        other => other,
    }
}

/// Runs a filtered plan over narrow and dictionary columns and gives the bytes that it decoded.
fn decoded(predicate: &Expr, groups: Vec<Expr>, calls: Vec<AggregateCall>) -> u64 {
    let mut random = Random::new(5);
    let ledger = ScanLedger::new([("c".to_owned(), 0)]);
    let charge = ColumnCharge::new(&ledger, 0);
    let ones = |ty: &LogicalType, random: &mut Random| loop {
        let array = sample(ty, random, ROWS, 6);
        let narrow = |vector: &Vector| match vector {
            Vector::Narrow(narrow) => narrow.offsets.data_type().primitive_width() < Some(8),
            Vector::Dictionary(_) => *ty == LogicalType::Text || *ty == LogicalType::Int64,
            _ => *ty == LogicalType::Boolean,
        };
        let found = encodings(&array, random).into_iter().rev().find(narrow);
        if let Some(vector) = found {
            return vector;
        }
    };
    let vectors: Vec<Vector> =
        columns().iter().map(|ty| charged(ones(ty, &mut random), &charge)).collect();
    let starts = (0..ROWS).step_by(500);
    let cut = |start| vectors.iter().map(|c| c.slice(start, 500)).collect();
    let morsel = starts.map(|start| Batch::new(cut(start), 500)).collect();
    let schema = columns().into_iter().map(|ty| ColumnDef::new("c", ty)).collect();
    let plan = Plan { input: Schema::new(schema), groups, sets: vec![], calls };
    let kept = filtered(vec![morsel], predicate).unwrap();
    plan.run(&kept, 1, &mut random).unwrap();
    ledger.touched(0, Level::Decoded)
}

#[test]
fn test_encoded_paths_decode_nothing() {
    let int = LogicalType::Int64;
    let wide = LogicalType::Decimal { precision: 38, scale: 2 };
    let seven = |ty: &LogicalType| {
        let seven = compute::cast(&Int64Array::from(vec![7]), &ty.to_arrow()).unwrap();
        Expr::Literal(Scalar::from_array(seven.as_ref(), 0).unwrap())
    };
    let small = LogicalType::Int16;
    let list = [Scalar::null(small.clone())].into();
    let predicates = [
        compare(CompareOp::GtEq, column(0, &small), seven(&small)),
        compare(CompareOp::NotEq, column(0, &small), seven(&small)),
        compare(CompareOp::Lt, column(0, &small), column(0, &small)),
        Expr::Not(Box::new(Expr::InList {
            input: Box::new(column(0, &small)),
            list,
            negated: false,
        })),
        compare(CompareOp::LtEq, column(2, &int), seven(&int)),
        compare(CompareOp::NotEq, column(6, &LogicalType::Text), text_literal("t7")),
        Expr::IsNotNull(Box::new(column(4, &LogicalType::Date))),
    ];
    let moved = || {
        let wider = cast(column(0, &small), &int);
        arithmetic(ArithmeticOp::Add, wider, seven(&int), &int)
    };
    for predicate in &predicates {
        for groups in [
            vec![],
            vec![column(0, &small)],
            vec![column(6, &LogicalType::Text), column(4, &LogicalType::Date)],
            vec![column(2, &int), column(7, &columns()[7])],
        ] {
            let calls = vec![
                call(F::CountStar, vec![], int.clone()),
                call(F::Sum, vec![moved()], int.clone()),
                call(F::Avg, vec![column(2, &int)], LogicalType::Float64),
                call(F::Sum, vec![column(5, &DECIMAL)], wide.clone()),
                call(F::Min, vec![column(4, &LogicalType::Date)], LogicalType::Date),
                call(F::Max, vec![column(6, &LogicalType::Text)], LogicalType::Text),
                call(F::VarPop, vec![moved()], LogicalType::Float64),
            ];
            // Work on a dictionary starts row by row, until there were as many rows as entries.
            let by_entry = matches!(predicate, Expr::Compare { left, .. }
                if matches!(**left, Expr::Column { index: 2 | 6, .. }));
            let bytes = decoded(predicate, groups.clone(), calls);
            assert!(by_entry || bytes == 0, "{bytes} bytes: {predicate:?} {groups:?}");
        }
    }
}
