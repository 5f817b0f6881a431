//! AND, OR, NOT, CASE, COALESCE, IS NULL: three-valued, lazy, in every encoding.

use super::{
    compare::{column as random_column, samples},
    *,
};
use crate::{
    error::EngineError,
    expr::{ArithmeticOp, CompareOp},
};

fn truth(value: Option<bool>) -> Scalar {
    value.map_or(Scalar::null(LogicalType::Boolean), Scalar::boolean)
}

fn boolean(index: usize) -> Expr {
    Expr::column(index, LogicalType::Boolean)
}

/// `10 / column > 1`, which fails where the column is zero.
fn risky(index: usize) -> Expr {
    let quotient = Expr::Arithmetic {
        op: ArithmeticOp::Divide,
        left: Box::new(lit(Scalar::int64(10))),
        right: Box::new(Expr::column(index, LogicalType::Int64)),
        ty: LogicalType::Int64,
    };
    Expr::Compare {
        op: CompareOp::Gt,
        left: Box::new(quotient),
        right: Box::new(lit(Scalar::int64(1))),
    }
}

#[test]
fn three_valued_tables() {
    let values = [Some(true), Some(false), None];
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for i in 0..27 {
        for (at, column) in columns.iter_mut().enumerate() {
            column.push(values[i / 3_usize.pow(at as u32) % 3]);
        }
    }
    let and = |row: usize| {
        let all = [columns[0][row], columns[1][row], columns[2][row]];
        if all.contains(&Some(false)) {
            Some(false)
        } else if all.contains(&None) {
            None
        } else {
            Some(true)
        }
    };
    let or = |row: usize| {
        let all = [columns[0][row], columns[1][row], columns[2][row]];
        if all.contains(&Some(true)) {
            Some(true)
        } else if all.contains(&None) {
            None
        } else {
            Some(false)
        }
    };
    let encoded: Vec<_> = columns
        .iter()
        .map(|c| (LogicalType::Boolean, c.iter().map(|&v| truth(v)).collect::<Vec<_>>()))
        .collect();
    let operands = || vec![boolean(0), boolean(1), boolean(2)];
    let expected: Vec<_> = (0..27).map(|row| Some(truth(and(row)))).collect();
    check(&Expr::And(operands()), &encoded, &expected);
    let nested = Expr::And(vec![boolean(0), Expr::And(vec![boolean(1), boolean(2)])]);
    check(&nested, &encoded, &expected);
    let expected: Vec<_> = (0..27).map(|row| Some(truth(or(row)))).collect();
    check(&Expr::Or(operands()), &encoded, &expected);
    let expected: Vec<_> = (0..27).map(|row| Some(truth(or(row).map(|v| !v)))).collect();
    check(&Expr::Not(Box::new(Expr::Or(operands()))), &encoded, &expected);
    let expected: Vec<_> = columns[0].iter().map(|v| Some(truth(Some(v.is_none())))).collect();
    check(&Expr::IsNull(Box::new(boolean(0))), &encoded[..1], &expected);
    let expected: Vec<_> = columns[0].iter().map(|v| Some(truth(Some(v.is_some())))).collect();
    check(&Expr::IsNotNull(Box::new(boolean(0))), &encoded[..1], &expected);
}

#[test]
fn a_later_operand_sees_only_the_rows_that_reach_it() {
    let numbers = [Some(0), Some(1), Some(5), Some(7), Some(20), None, Some(0)];
    let guard = [Some(false), Some(true), Some(true), None, Some(true), Some(true), Some(false)];
    let columns = [
        (LogicalType::Boolean, guard.iter().map(|&v| truth(v)).collect::<Vec<_>>()),
        (
            LogicalType::Int64,
            numbers
                .iter()
                .map(|v| v.map_or(Scalar::null(LogicalType::Int64), Scalar::int64))
                .collect::<Vec<_>>(),
        ),
    ];
    let second = |row: usize| numbers[row].map(|n| 10 / n > 1);
    let and: Vec<_> = (0..7)
        .map(|row| {
            Some(truth(match guard[row] {
                Some(false) => Some(false),
                Some(true) => second(row),
                None => second(row).filter(|v| !v),
            }))
        })
        .collect();
    check(&Expr::And(vec![boolean(0), risky(1)]), &columns, &and);
    let not = Expr::Not(Box::new(boolean(0)));
    let or: Vec<_> =
        and.iter().map(|v| Some(truth(v.as_ref().unwrap().as_bool().map(|v| !v)))).collect();
    check(&Expr::Or(vec![not, Expr::Not(Box::new(risky(1)))]), &columns, &or);
    let case = Expr::Case {
        branches: vec![(boolean(0), risky(1))],
        otherwise: Some(Box::new(lit(Scalar::boolean(true)))),
        ty: LogicalType::Boolean,
    };
    let expected: Vec<_> = (0..7)
        .map(|row| Some(truth(if guard[row] == Some(true) { second(row) } else { Some(true) })))
        .collect();
    check(&case, &columns, &expected);
    let coalesce =
        call("coalesce", vec![Expr::Not(Box::new(boolean(0))), risky(1)], LogicalType::Boolean);
    let expected: Vec<_> = (0..7)
        .map(|row| {
            Some(truth(match guard[row] {
                Some(v) => Some(!v),
                None => second(row),
            }))
        })
        .collect();
    check(&coalesce, &columns, &expected);
}

#[test]
fn case_of_every_type() {
    let mut random = Random(23);
    for (ty, texts) in samples() {
        let rows = 45;
        let (first, second) = (
            random_column(&mut random, &ty, &texts, rows),
            random_column(&mut random, &ty, &texts, rows),
        );
        let literal = scalar(&ty, texts[0]);
        let conditions: Vec<[Option<bool>; 2]> = (0..rows)
            .map(|_| [0, 1].map(|_| random.pick(&[Some(true), Some(false), None])))
            .collect();
        let column = |at: usize| {
            let values = conditions.iter().map(|c| truth(c[at])).collect::<Vec<_>>();
            (LogicalType::Boolean, values)
        };
        let columns =
            [(ty.clone(), first.clone()), (ty.clone(), second.clone()), column(0), column(1)];
        for otherwise in [None, Some(Box::new(Expr::column(1, ty.clone())))] {
            let expected: Vec<_> = (0..rows)
                .map(|row| {
                    Some(match (conditions[row], &otherwise) {
                        ([Some(true), _], _) => first[row].clone(),
                        ([_, Some(true)], _) => literal.clone(),
                        (_, Some(_)) => second[row].clone(),
                        (_, None) => Scalar::null(ty.clone()),
                    })
                })
                .collect();
            let expr = Expr::Case {
                branches: vec![
                    (boolean(2), Expr::column(0, ty.clone())),
                    (boolean(3), lit(literal.clone())),
                ],
                otherwise,
                ty: ty.clone(),
            };
            check(&expr, &columns, &expected);
        }
    }
}

#[test]
fn failing_constants_fail_only_when_a_row_reaches_them() {
    let program = Program::compile(&[risky_constant()], &context()).unwrap();
    let batch =
        |rows: usize| Batch::new(vec![Vector::Constant { value: Scalar::int64(0), rows }], rows);
    assert!(Evaluator::new(&program).project(&batch(1)).is_err());
    assert_eq!(Evaluator::new(&program).project(&batch(0)).unwrap()[0].len(), 0);
    let none = batch(5).refine(Selection::new(Vec::new()));
    assert_eq!(Evaluator::new(&program).project(&none).unwrap()[0].len(), 0);
    assert!(Evaluator::new(&program).select(&none).unwrap().is_none());
}

fn risky_constant() -> Expr {
    let mut expr = risky(0);
    if let Expr::Compare { left, .. } = &mut expr
        && let Expr::Arithmetic { right, .. } = &mut **left
    {
        **right = lit(Scalar::int64(0));
    }
    expr
}

#[test]
fn an_entry_that_no_row_uses_raises_nothing() {
    let values: ArrayRef = Arc::new(arrow::array::StringViewArray::from(vec!["1", "x", "3"]));
    let vector = |codes: Vec<u8>| {
        Vector::Dictionary(DictionaryVector {
            codes: Arc::new(UInt8Array::from(codes)),
            dictionary: Arc::new(DictionaryValues::new(Arc::clone(&values))),
            charge: None,
        })
    };
    let expr = cast_to(Expr::column(0, LogicalType::Text), LogicalType::Int64);
    let program = Program::compile(&[expr], &context()).unwrap();
    let mut evaluator = Evaluator::new(&program);
    for _ in 0..3 {
        let batch = Batch::new(vec![vector(vec![0, 2, 2, 0])], 4);
        let result = evaluator.project(&batch).unwrap().remove(0);
        assert_eq!(result.scalar(2).unwrap(), Scalar::int64(3));
        let bad = Batch::new(vec![vector(vec![0, 1, 2])], 3);
        let error = evaluator.project(&bad).unwrap_err();
        assert_eq!(error.to_string(), "could not convert 'x' to BIGINT");
    }
}

#[test]
fn texts_of_a_dictionary_stay_one() {
    let values: Vec<Scalar> = ["a", "b", "a", "a"].map(Scalar::text).into();
    let upper = call("upper", vec![Expr::column(0, LogicalType::Text)], LogicalType::Text);
    let program =
        Program::compile(&[upper, Expr::column(0, LogicalType::Text)], &context()).unwrap();
    let mut evaluator = Evaluator::new(&program);
    let mut ids = Vec::new();
    let vectors = dictionaries(&array(&LogicalType::Text, &values));
    for vector in [&vectors[1], &vectors[1]] {
        let batch = Batch::new(vec![vector.clone()], 4);
        let results = evaluator.project(&batch).unwrap();
        let Vector::Dictionary(result) = &results[0] else { panic!("not a dictionary") };
        ids.push(result.dictionary.id());
        assert!(matches!(&results[1], Vector::Dictionary(_)));
        assert_eq!(results[0].scalar(1).unwrap(), Scalar::text("B"));
    }
    assert_eq!(ids[0], ids[1], "computed once");
}

#[test]
fn deep_expressions_do_not_recurse() {
    let ty = LogicalType::Int64;
    let mut sum = Expr::column(0, ty.clone());
    let mut any = Expr::IsNull(Box::new(Expr::column(0, ty.clone())));
    for i in 0..3_000 {
        sum = Expr::Arithmetic {
            op: ArithmeticOp::Add,
            left: Box::new(sum),
            right: Box::new(lit(Scalar::int64(i % 2))),
            ty: ty.clone(),
        };
        let equal = Expr::Compare {
            op: CompareOp::Eq,
            left: Box::new(Expr::column(0, ty.clone())),
            right: Box::new(lit(Scalar::int64(i))),
        };
        any = Expr::Or(vec![any, equal]);
    }
    let values = vec![Scalar::int64(5), Scalar::int64(-5)];
    let columns = [(ty, values)];
    check(&sum, &columns, &[1_505, 1_495].map(|v| Some(Scalar::int64(v))));
    check(&any, &columns, &[true, false].map(|v| Some(Scalar::boolean(v))));
}

#[test]
fn unknown_functions_are_named() {
    let expr = call("frobnicate", vec![text("x")], LogicalType::Text);
    let Err(EngineError::Unsupported(message)) = Program::compile(&[expr], &context()) else {
        panic!("compiled");
    };
    assert_eq!(message, "function frobnicate(VARCHAR)");
}
