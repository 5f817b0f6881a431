//! Comparisons, IS DISTINCT FROM, IN: every type, against an oracle on single values.

use std::cmp::Ordering;

use arrow::array::AsArray;
use arrow::datatypes::IntervalMonthDayNano;
use stoadb_storage::TimeUnit;

use super::*;
use crate::expr::CompareOp;

/// Values that make trouble, for every type.
pub(super) fn samples() -> Vec<(LogicalType, Vec<&'static str>)> {
    use LogicalType as T;
    let decimal = |precision, scale| T::Decimal { precision, scale };
    vec![
        (T::Int8, vec!["-128", "-1", "0", "1", "127"]),
        (T::Int16, vec!["-32768", "0", "300", "32767"]),
        (T::Int32, vec!["-2147483648", "-5", "0", "70000", "2147483647"]),
        (T::Int64, vec!["-9223372036854775808", "-1", "0", "5", "9223372036854775807"]),
        (T::Int64, vec!["1000", "1001", "1007", "1255"]),
        (T::UInt8, vec!["0", "1", "200", "255"]),
        (T::UInt16, vec!["0", "65535", "3"]),
        (T::UInt32, vec!["0", "4294967295", "77"]),
        (T::UInt64, vec!["0", "18446744073709551615", "9223372036854775808"]),
        (T::Float32, vec!["-inf", "-1.5", "-0.0", "0.0", "3.25", "inf", "NaN"]),
        (T::Float64, vec!["-inf", "-1e300", "-0.0", "0.0", "1e-300", "inf", "NaN"]),
        (decimal(9, 2), vec!["-1234567.89", "-0.01", "0.00", "0.01", "9999999.99"]),
        (decimal(38, 4), vec!["-9999999999999999999999999999999999.9999", "0.0001", "7.0000"]),
        (
            T::Text,
            vec![
                "",
                "a",
                "ab",
                "abcd",
                "abcde",
                "abcdefghijkl",
                "abcdefghijklm",
                "abcdefghijkln",
                "b",
                "\u{e4}",
            ],
        ),
        (T::Blob, vec!["", "x", "xyzxyzxyzxyzxyz", "xyzxyzxyzxyzxyy"]),
        (T::Date, vec!["1969-12-31", "1970-01-01", "2024-02-29", "0001-01-01"]),
        (T::Time(TimeUnit::Microsecond), vec!["00:00:00", "23:59:59.999999", "12:00:00"]),
        (T::Time(TimeUnit::Second), vec!["00:00:00", "23:59:59", "12:00:00"]),
        (
            T::Timestamp(TimeUnit::Microsecond, None),
            vec!["1969-12-31 23:59:59.5", "2024-02-29 01:02:03"],
        ),
        (
            T::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into())),
            vec!["2024-07-01 00:00:00", "2024-01-01 00:00:00"],
        ),
        (T::Boolean, vec!["true", "false"]),
    ]
}

pub(super) fn column(
    random: &mut Random,
    ty: &LogicalType,
    texts: &[&str],
    rows: usize,
) -> Vec<Scalar> {
    let values: Vec<Scalar> = texts.iter().map(|text| scalar(ty, text)).collect();
    (0..rows)
        .map(|_| match random.below(5) {
            0 => Scalar::null(ty.clone()),
            _ => random.pick(&values),
        })
        .collect()
}

fn order(a: &Scalar, b: &Scalar) -> Ordering {
    if let (Some(x), Some(y)) = (a.as_f64(), b.as_f64()) {
        return match (x.is_nan(), y.is_nan()) {
            (false, false) => x.partial_cmp(&y).unwrap(),
            (x, y) => x.cmp(&y),
        };
    }
    if let (Some(x), Some(y)) = (a.as_i128(), b.as_i128()) {
        return x.cmp(&y);
    }
    if let (Some(x), Some(y)) = (a.as_bool(), b.as_bool()) {
        return x.cmp(&y);
    }
    if let (Some(x), Some(y)) = (a.as_bytes(), b.as_bytes()) {
        return x.cmp(y);
    }
    let length = |value: &Scalar| {
        let value: IntervalMonthDayNano =
            value.array().as_primitive::<arrow::datatypes::IntervalMonthDayNanoType>().value(0);
        i128::from(value.months) * 2_592_000_000_000_000
            + i128::from(value.days) * 86_400_000_000_000
            + i128::from(value.nanoseconds)
    };
    length(a).cmp(&length(b))
}

const OPS: [CompareOp; 8] = [
    CompareOp::Eq,
    CompareOp::NotEq,
    CompareOp::Lt,
    CompareOp::LtEq,
    CompareOp::Gt,
    CompareOp::GtEq,
    CompareOp::Distinct,
    CompareOp::NotDistinct,
];

fn oracle(op: CompareOp, a: &Scalar, b: &Scalar) -> Scalar {
    let truth = match (op, a.is_null() || b.is_null()) {
        (CompareOp::Distinct, true) => Some(a.is_null() != b.is_null()),
        (CompareOp::NotDistinct, true) => Some(a.is_null() == b.is_null()),
        (_, true) => None,
        (op, false) => {
            let order = order(a, b);
            Some(match op {
                CompareOp::Eq | CompareOp::NotDistinct => order.is_eq(),
                CompareOp::NotEq | CompareOp::Distinct => order.is_ne(),
                CompareOp::Lt => order.is_lt(),
                CompareOp::LtEq => order.is_le(),
                CompareOp::Gt => order.is_gt(),
                CompareOp::GtEq => order.is_ge(),
            })
        }
    };
    truth.map_or(Scalar::null(LogicalType::Boolean), Scalar::boolean)
}

fn compare(op: CompareOp, left: Expr, right: Expr) -> Expr {
    Expr::Compare { op, left: Box::new(left), right: Box::new(right) }
}

fn check_type(
    random: &mut Random,
    ty: &LogicalType,
    left: &[Scalar],
    right: &[Scalar],
    literals: &[Scalar],
) {
    let op = random.pick(&OPS);
    let column = |index| Expr::column(index, ty.clone());
    let expected: Vec<_> = left.iter().zip(right).map(|(a, b)| Some(oracle(op, a, b))).collect();
    let columns = [(ty.clone(), left.to_vec()), (ty.clone(), right.to_vec())];
    check(&compare(op, column(0), column(1)), &columns, &expected);
    for literal in literals {
        for op in OPS {
            let expected: Vec<_> = left.iter().map(|a| Some(oracle(op, a, literal))).collect();
            check(&compare(op, column(0), lit(literal.clone())), &columns[..1], &expected);
        }
        let expected: Vec<_> = left.iter().map(|b| Some(oracle(op, literal, b))).collect();
        check(&compare(op, lit(literal.clone()), column(0)), &columns[..1], &expected);
    }
}

#[test]
fn comparisons_of_every_type() {
    let mut random = Random(7);
    for (ty, texts) in samples() {
        let mut literals: Vec<Scalar> = texts.iter().map(|text| scalar(&ty, text)).collect();
        literals.push(Scalar::null(ty.clone()));
        for rows in [0, 1, 2, 70] {
            let left = column(&mut random, &ty, &texts, rows);
            let right = column(&mut random, &ty, &texts, rows);
            let few = [random.pick(&literals), random.pick(&literals)];
            check_type(&mut random, &ty, &left, &right, &few);
        }
    }
}

#[test]
fn narrow_columns_meet_literals_outside_of_their_range() {
    let ty = LogicalType::Int64;
    let values: Vec<Scalar> = (100..140).map(Scalar::int64).collect();
    for literal in [i64::MIN, -1, 99, 100, 120, 139, 140, 355, 356, 100_000, 1 << 33, i64::MAX] {
        for op in OPS {
            let literal = Scalar::int64(literal);
            let expected: Vec<_> = values.iter().map(|a| Some(oracle(op, a, &literal))).collect();
            let expr = compare(op, Expr::column(0, ty.clone()), lit(literal));
            check(&expr, &[(ty.clone(), values.clone())], &expected);
        }
    }
}

#[test]
fn intervals_compare_by_length() {
    let interval = |months, days, nanos| {
        let array = arrow::array::IntervalMonthDayNanoArray::from(vec![IntervalMonthDayNano::new(
            months, days, nanos,
        )]);
        Scalar::from_array(&array, 0).unwrap()
    };
    let day = 86_400_000_000_000;
    let values = [
        interval(1, 0, 0),
        interval(0, 30, 0),
        interval(0, 29, day),
        interval(0, 0, -1),
        interval(-1, 31, 0),
        Scalar::null(LogicalType::Interval),
    ];
    let left: Vec<Scalar> = values.iter().flat_map(|a| vec![a.clone(); values.len()]).collect();
    let right: Vec<Scalar> = (0..left.len()).map(|i| values[i % values.len()].clone()).collect();
    for op in OPS {
        let column = |index| Expr::column(index, LogicalType::Interval);
        let expected: Vec<_> =
            left.iter().zip(&right).map(|(a, b)| Some(oracle(op, a, b))).collect();
        let columns =
            [(LogicalType::Interval, left.clone()), (LogicalType::Interval, right.clone())];
        check(&compare(op, column(0), column(1)), &columns, &expected);
    }
}

#[test]
fn lists_compare_element_by_element() {
    let ty = LogicalType::from_arrow(&arrow::datatypes::DataType::new_list(
        arrow::datatypes::DataType::Float64,
        true,
    ))
    .unwrap();
    let mut builder = arrow::array::ListBuilder::new(arrow::array::Float64Builder::new());
    builder.append_value([Some(0.0), Some(f64::NAN)]);
    builder.append_value([Some(-0.0), Some(-f64::NAN)]);
    builder.append_value([Some(1.0)]);
    builder.append_null();
    let lists: ArrayRef = Arc::new(builder.finish());
    let values: Vec<Scalar> = (0..4).map(|row| Scalar::from_array(&lists, row).unwrap()).collect();
    let columns = [(ty.clone(), values.clone())];
    let against = |op: CompareOp| compare(op, Expr::column(0, ty.clone()), lit(values[0].clone()));
    let expected = |truth: [bool; 3]| {
        let mut all: Vec<_> = truth.iter().map(|&truth| Some(Scalar::boolean(truth))).collect();
        all.push(Some(Scalar::null(LogicalType::Boolean)));
        all
    };
    check(&against(CompareOp::Eq), &columns, &expected([true, true, false]));
    check(&against(CompareOp::Gt), &columns, &expected([false, false, true]));
}

#[test]
fn in_lists_of_every_type() {
    let mut random = Random(11);
    for (ty, texts) in samples() {
        for size in [1, 2, 3, 5, 12, 40] {
            let with_null = size == 5;
            let mut list = column(&mut random, &ty, &texts, size);
            if !with_null {
                list.retain(|value| !value.is_null());
            }
            let values = column(&mut random, &ty, &texts, 50);
            let negated = random.below(2) == 0;
            let expected: Vec<_> = values
                .iter()
                .map(|value| {
                    let found = list.iter().any(|other| {
                        !other.is_null() && !value.is_null() && order(value, other).is_eq()
                    });
                    let unknown = value.is_null() && !list.is_empty()
                        || value.is_null()
                        || list.iter().any(Scalar::is_null);
                    Some(match (found, unknown) {
                        (true, _) => Scalar::boolean(!negated),
                        (false, true) => Scalar::null(LogicalType::Boolean),
                        (false, false) => Scalar::boolean(negated),
                    })
                })
                .collect();
            let expr = Expr::InList {
                input: Box::new(Expr::column(0, ty.clone())),
                list: list.into(),
                negated,
            };
            check(&expr, &[(ty.clone(), values)], &expected);
        }
    }
}

#[test]
fn large_in_lists_of_integers() {
    let ty = LogicalType::Int32;
    let scalar = |value: i64| scalar(&LogicalType::Int32, &value.to_string());
    for step in [1, 1_000, 1_000_003] {
        let list: Vec<Scalar> = (0..60).map(|i| scalar(i * step - 10)).collect();
        let values: Vec<i64> = (0..300).map(|i| i * step / 3 - 20).collect();
        let found = |value: i64| {
            (value + 10) % step == 0 && (0..60).contains(&((value + 10) / step)) && value >= -10
        };
        let expected: Vec<_> = values.iter().map(|&v| Some(Scalar::boolean(found(v)))).collect();
        let values: Vec<Scalar> = values.into_iter().map(scalar).collect();
        let input = Box::new(Expr::column(0, ty.clone()));
        let expr = Expr::InList { input, list: list.into(), negated: false };
        check(&expr, &[(ty.clone(), values)], &expected);
    }
}
