//! Arithmetic on integers, floats, decimals and moments against exact oracles.

use stoadb_storage::TimeUnit;

use super::{
    compare::{column as random_column, samples},
    *,
};
use crate::expr::ArithmeticOp;

const OPS: [ArithmeticOp; 5] = [
    ArithmeticOp::Add,
    ArithmeticOp::Subtract,
    ArithmeticOp::Multiply,
    ArithmeticOp::Divide,
    ArithmeticOp::Modulo,
];

fn arithmetic(op: ArithmeticOp, left: Expr, right: Expr, ty: &LogicalType) -> Expr {
    Expr::Arithmetic { op, left: Box::new(left), right: Box::new(right), ty: ty.clone() }
}

fn exact(op: ArithmeticOp, a: i128, b: i128) -> Option<i128> {
    match op {
        ArithmeticOp::Add => Some(a + b),
        ArithmeticOp::Subtract => Some(a - b),
        ArithmeticOp::Multiply => a.checked_mul(b),
        ArithmeticOp::Divide => a.checked_div(b),
        ArithmeticOp::Modulo => a.checked_rem(b),
    }
}

#[test]
fn integers_overflow_as_errors() {
    let mut random = Random(3);
    for (ty, texts) in samples().into_iter().filter(|(ty, _)| ty.is_integer()) {
        let texts: Vec<&str> = texts.into_iter().chain(["2", "3", "10"]).collect();
        for op in OPS {
            for rows in [0, 1, 60] {
                let left = random_column(&mut random, &ty, &texts, rows);
                let right = random_column(&mut random, &ty, &texts, rows);
                let oracle = |a: &Scalar, b: &Scalar| match (a.as_i128(), b.as_i128()) {
                    (Some(a), Some(b)) => {
                        let text = Scalar::text(&exact(op, a, b)?.to_string());
                        let options =
                            arrow::compute::CastOptions { safe: false, ..Default::default() };
                        let array = arrow::compute::cast_with_options(
                            text.array(),
                            &ty.to_arrow(),
                            &options,
                        );
                        Some(Scalar::from_array(&array.ok()?, 0).unwrap())
                    }
                    _ => Some(Scalar::null(ty.clone())),
                };
                let expected: Vec<_> = left.iter().zip(&right).map(|(a, b)| oracle(a, b)).collect();
                let column = |index| Expr::column(index, ty.clone());
                let columns = [(ty.clone(), left.clone()), (ty.clone(), right)];
                check(&arithmetic(op, column(0), column(1), &ty), &columns, &expected);
                let literal = scalar(&ty, random.pick(&texts));
                let expected: Vec<_> = left.iter().map(|a| oracle(a, &literal)).collect();
                let expr = arithmetic(op, column(0), lit(literal.clone()), &ty);
                check(&expr, &columns[..1], &expected);
                let expected: Vec<_> = left.iter().map(|b| oracle(&literal, b)).collect();
                check(&arithmetic(op, lit(literal), column(0), &ty), &columns[..1], &expected);
            }
        }
    }
}

#[test]
fn errors_name_values_and_types() {
    let int = |value: &str| lit(scalar(&LogicalType::Int32, value));
    let sum = arithmetic(ArithmeticOp::Add, int("2147483647"), int("1"), &LogicalType::Int32);
    assert_eq!(
        shown(&sum),
        "error: overflow: 2147483647 + 1 does not fit INTEGER; cast an operand to BIGINT"
    );
    let quotient = arithmetic(ArithmeticOp::Divide, int("1"), int("0"), &LogicalType::Int32);
    assert_eq!(shown(&quotient), "error: division by zero");
}

#[test]
fn floats_are_ieee() {
    let ty = LogicalType::Float64;
    let values = [0.0, -0.0, 1.5, -3.25, f64::INFINITY, f64::NAN, 1e308, 5e-324];
    let left: Vec<f64> = values.iter().flat_map(|&a| [a; 8]).collect();
    let right: Vec<f64> = (0..64).map(|i| values[i % 8]).collect();
    for op in OPS {
        let oracle = |a: f64, b: f64| match op {
            ArithmeticOp::Add => a + b,
            ArithmeticOp::Subtract => a - b,
            ArithmeticOp::Multiply => a * b,
            ArithmeticOp::Divide => a / b,
            ArithmeticOp::Modulo => a % b,
        };
        let expected: Vec<_> =
            left.iter().zip(&right).map(|(&a, &b)| Some(Scalar::float64(oracle(a, b)))).collect();
        let column =
            |values: &[f64]| (ty.clone(), values.iter().copied().map(Scalar::float64).collect());
        let expr = arithmetic(op, Expr::column(0, ty.clone()), Expr::column(1, ty.clone()), &ty);
        check(&expr, &[column(&left), column(&right)], &expected);
    }
}

/// The result scaled by ten to the scale, rounded half away from zero.
fn decimal_oracle(
    op: ArithmeticOp,
    (a, sa): (i128, u32),
    (b, sb): (i128, u32),
    scale: u32,
) -> Option<i128> {
    let common = sa.max(sb);
    let (x, y) = (a * 10_i128.pow(common - sa), b * 10_i128.pow(common - sb));
    // Numerator and denominator of the exact result.
    let (n, d) = match op {
        ArithmeticOp::Add => (x + y, 10_i128.pow(common)),
        ArithmeticOp::Subtract => (x - y, 10_i128.pow(common)),
        ArithmeticOp::Multiply => (a * b, 10_i128.pow(sa + sb)),
        ArithmeticOp::Divide => (x, y),
        ArithmeticOp::Modulo => (x.checked_rem(y)?, 10_i128.pow(common)),
    };
    if d == 0 {
        return None;
    }
    let (n, d) = (n * 10_i128.pow(scale) * d.signum(), d.abs());
    Some((n.abs() * 2 + d) / (2 * d) * n.signum())
}

#[test]
fn decimals_of_different_scales() {
    let mut random = Random(17);
    for round in 0..40 {
        let (sa, sb, scale) =
            (random.below(5) as u32, random.below(5) as u32, random.below(7) as u32);
        let op = OPS[round % 5];
        let (pa, pb) = ([9, 15, 25][random.below(3)], [9, 15, 25][random.below(3)]);
        let precision = [12, 18, 30][random.below(3)];
        let make = |random: &mut Random, digits: u32| {
            let bound = 10_i128.pow(digits.min(1 + random.below(9) as u32));
            (i128::from(random.next()) % bound) * if random.below(2) == 0 { 1 } else { -1 }
        };
        let left: Vec<i128> = (0..40).map(|_| make(&mut random, pa)).collect();
        let right: Vec<i128> = (0..40).map(|_| make(&mut random, pb)).collect();
        let ty = LogicalType::Decimal { precision, scale: scale as i8 };
        let expected: Vec<_> = left
            .iter()
            .zip(&right)
            .map(|(&a, &b)| {
                let result = decimal_oracle(op, (a, sa), (b, sb), scale)?;
                let fits = result.abs() < 10_i128.pow(precision.into());
                fits.then(|| Scalar::decimal(result, precision, scale as i8))
            })
            .collect();
        let column = |values: &[i128], p: u32, s: u32| {
            let ty = LogicalType::Decimal { precision: p as u8, scale: s as i8 };
            (ty, values.iter().map(|&v| Scalar::decimal(v, p as u8, s as i8)).collect::<Vec<_>>())
        };
        let columns = [column(&left, pa, sa), column(&right, pb, sb)];
        let input = |index: usize| Expr::column(index, columns[index].0.clone());
        check(&arithmetic(op, input(0), input(1), &ty), &columns, &expected);
    }
}

#[test]
fn decimals_beyond_64_bits() {
    let decimal = |value: i128, scale| lit(Scalar::decimal(value, 38, scale));
    let ty = |scale| LogicalType::Decimal { precision: 38, scale };
    let big = 10_i128.pow(37);
    let sum = arithmetic(ArithmeticOp::Add, decimal(big, 0), decimal(big, 0), &ty(0));
    assert_eq!(shown(&sum), format!("{}", 2 * big));
    let product =
        arithmetic(ArithmeticOp::Multiply, decimal(i64::MAX.into(), 2), decimal(10, 1), &ty(3));
    assert_eq!(shown(&product), "92233720368547758.070");
    let quotient = arithmetic(ArithmeticOp::Divide, decimal(big, 0), decimal(3, 0), &ty(0));
    assert_eq!(shown(&quotient), format!("{}", big / 3));
    let wide = arithmetic(ArithmeticOp::Divide, decimal(big, 0), decimal(big, 0), &ty(30));
    assert_eq!(shown(&wide), format!("1.{}", "0".repeat(30)));
    let over = arithmetic(ArithmeticOp::Multiply, decimal(big, 0), decimal(10, 0), &ty(0));
    assert!(shown(&over).starts_with("error: overflow"));
}

#[test]
fn unary_minus() {
    let negate = |input: Expr| Expr::Negate(Box::new(input));
    let int = |text: &str| lit(scalar(&LogicalType::Int8, text));
    assert_eq!(shown(&negate(int("127"))), "-127");
    assert_eq!(shown(&negate(int("-128"))), "error: overflow: -(-128) does not fit TINYINT");
    assert_eq!(shown(&negate(lit(Scalar::decimal(i64::MIN.into(), 38, 0)))), "9223372036854775808");
    assert_eq!(shown(&negate(lit(Scalar::float64(0.0)))), "-0.0");
    let ty = LogicalType::Decimal { precision: 20, scale: 1 };
    let values: Vec<Scalar> = [5, -7, i64::MIN].map(|v| Scalar::decimal(v.into(), 20, 1)).into();
    let expected: Vec<_> =
        [-5, 7, -i128::from(i64::MIN)].map(|v| Some(Scalar::decimal(v, 20, 1))).into();
    check(&negate(Expr::column(0, ty.clone())), &[(ty, values)], &expected);
}

fn moment(text_value: &str, ty: &LogicalType) -> Expr {
    cast_to(text(text_value), ty.clone())
}

#[test]
fn moments_and_intervals() {
    use LogicalType as T;
    let stamp = T::Timestamp(TimeUnit::Microsecond, None);
    let berlin = T::Timestamp(TimeUnit::Second, Some("Europe/Berlin".into()));
    let time = T::Time(TimeUnit::Microsecond);
    let (add, subtract) = (ArithmeticOp::Add, ArithmeticOp::Subtract);
    let cases: Vec<(&str, &T, ArithmeticOp, &str, &T, &T, &str)> = vec![
        ("2024-01-31", &T::Date, add, "1 month", &T::Interval, &T::Date, "2024-02-29"),
        ("2023-01-31", &T::Date, add, "1 month", &T::Interval, &stamp, "2023-02-28 00:00:00"),
        ("2024-03-31", &T::Date, subtract, "1 month 1 day", &T::Interval, &T::Date, "2024-02-28"),
        ("2024-02-29", &T::Date, add, "-1 year", &T::Interval, &T::Date, "2023-02-28"),
        ("2024-01-01", &T::Date, subtract, "1 second", &T::Interval, &stamp, "2023-12-31 23:59:59"),
        (
            "1 day 2 hours",
            &T::Interval,
            add,
            "2024-02-28 23:00:00",
            &stamp,
            &stamp,
            "2024-03-01 01:00:00",
        ),
        (
            "2024-03-30 02:30:00+01",
            &berlin,
            add,
            "1 day",
            &T::Interval,
            &berlin,
            "2024-03-31 03:30:00+02",
        ),
        (
            "2024-03-30 12:00:00+01",
            &berlin,
            add,
            "1 day",
            &T::Interval,
            &berlin,
            "2024-03-31 12:00:00+02",
        ),
        (
            "2024-03-30 12:00:00+01",
            &berlin,
            add,
            "24 hours",
            &T::Interval,
            &berlin,
            "2024-03-31 13:00:00+02",
        ),
        ("23:30:00", &time, add, "1 hour 1 day", &T::Interval, &time, "00:30:00"),
        ("2024-03-01", &T::Date, subtract, "2024-02-01", &T::Date, &T::Int64, "29"),
        (
            "2024-03-01 06:00:00",
            &stamp,
            subtract,
            "2024-02-01 12:00:00",
            &stamp,
            &T::Interval,
            "28 days 18:00:00",
        ),
        (
            "1 mon 5 days",
            &T::Interval,
            subtract,
            "7 days 1 hour",
            &T::Interval,
            &T::Interval,
            "1 mon -2 days -01:00:00",
        ),
        (
            "294246-01-01",
            &T::Date,
            add,
            "5881580 years",
            &T::Interval,
            &T::Date,
            "error: DATE + INTERVAL is out of range",
        ),
    ];
    for (left, left_ty, op, right, right_ty, ty, expected) in cases {
        let expr = arithmetic(op, moment(left, left_ty), moment(right, right_ty), ty);
        assert_eq!(shown(&expr), expected, "{left} {op:?} {right}");
    }
    let seven = lit(scalar(&T::Int32, "7"));
    let later = arithmetic(add, moment("2024-02-28", &T::Date), seven.clone(), &T::Date);
    assert_eq!(shown(&later), "2024-03-06");
    let weeks = arithmetic(
        ArithmeticOp::Multiply,
        seven,
        moment("1 mon -1 day", &T::Interval),
        &T::Interval,
    );
    assert_eq!(shown(&weeks), "7 mons -7 days");
}
