//! Casts: tables of texts in PostgreSQL's and DuckDB's formats, and round trips of every type through text.

use stoadb_storage::TimeUnit;

use super::{
    compare::{column as random_column, samples},
    *,
};

fn from_text(value: &str, ty: &LogicalType) -> String {
    shown(&cast_to(text(value), ty.clone()))
}

#[test]
fn text_to_values_and_back() {
    use LogicalType as T;
    let decimal = T::Decimal { precision: 6, scale: 2 };
    let stamp = T::Timestamp(TimeUnit::Microsecond, None);
    let utc = T::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let kolkata = T::Timestamp(TimeUnit::Nanosecond, Some("Asia/Kolkata".into()));
    let cases: Vec<(&T, &str, &str)> = vec![
        (&T::Int32, " 42 ", "42"),
        (&T::Int32, "+7", "7"),
        (&T::Int32, "abc", "error: could not convert 'abc' to INTEGER"),
        (&T::Int32, "1.5", "error: could not convert '1.5' to INTEGER"),
        (&T::Int32, "2147483648", "error: could not convert '2147483648' to INTEGER"),
        (&T::UInt8, "-1", "error: could not convert '-1' to UTINYINT"),
        (&T::Float64, "1", "1.0"),
        (&T::Float64, "1e300", "1e+300"),
        (&T::Float64, "-1e-5", "-1e-05"),
        (&T::Float64, "0.0001", "0.0001"),
        (&T::Float64, "123456789012345678", "1.2345678901234568e+17"),
        (&T::Float64, "1000000000000000", "1000000000000000.0"),
        (&T::Float64, "0.1", "0.1"),
        (&T::Float64, "12.375", "12.375"),
        (&T::Float64, "-0", "-0.0"),
        (&T::Float64, "NaN", "nan"),
        (&T::Float64, "-Infinity", "-inf"),
        (&T::Float64, "1e400", "error: could not convert '1e400' to DOUBLE"),
        (&T::Float32, "0.1", "0.1"),
        (&decimal, "1.005", "1.01"),
        (&decimal, "-1.005", "-1.01"),
        (&decimal, "-0.004", "0.00"),
        (&decimal, ".5", "0.50"),
        (&decimal, "12e2", "1200.00"),
        (&decimal, "1234.5e-3", "1.23"),
        (&decimal, "9999.994", "9999.99"),
        (&decimal, "9999.995", "error: could not convert '9999.995' to DECIMAL(6,2)"),
        (&decimal, "1e30", "error: could not convert '1e30' to DECIMAL(6,2)"),
        (&decimal, "0e99", "0.00"),
        (&decimal, "", "error: could not convert '' to DECIMAL(6,2)"),
        (&T::Boolean, "T", "true"),
        (&T::Boolean, "off", "false"),
        (&T::Boolean, "2", "error: could not convert '2' to BOOLEAN"),
        (&T::Date, "2024-2-9", "2024-02-09"),
        (&T::Date, "2024-02-29 10:00:00", "2024-02-29"),
        (&T::Date, "2023-02-29", "error: could not convert '2023-02-29' to DATE"),
        (&T::Date, "12345-01-01", "12345-01-01"),
        (&T::Time(TimeUnit::Microsecond), "1:02", "01:02:00"),
        (&T::Time(TimeUnit::Millisecond), "23:59:59.1234", "23:59:59.123"),
        (&stamp, "2020-01-01", "2020-01-01 00:00:00"),
        (&stamp, "2020-01-01T10:11:12.5", "2020-01-01 10:11:12.5"),
        (&stamp, "2020-01-01 10:11:12.0000005", "2020-01-01 10:11:12.000001"),
        (&stamp, "2020-01-01 10:00:00+05", "2020-01-01 10:00:00"),
        (
            &stamp,
            "2020-01-01 25:00:00",
            "error: could not convert '2020-01-01 25:00:00' to TIMESTAMP",
        ),
        (&utc, "2020-01-01 10:00:00+05:30", "2020-01-01 04:30:00+00"),
        (&utc, "2020-07-01 10:00:00 Europe/Berlin", "2020-07-01 08:00:00+00"),
        (&kolkata, "2020-01-01 00:00:00Z", "2020-01-01 05:30:00+05:30"),
        (&kolkata, "2020-01-01 00:00:00.000000001", "2020-01-01 00:00:00.000000001+05:30"),
        (&T::Interval, "1 year 2 mons -3 days 04:05:06.7", "1 year 2 mons -3 days 04:05:06.7"),
        (&T::Interval, "90 minutes", "01:30:00"),
        (&T::Interval, "1.5 days", "1 day 12:00:00"),
        (&T::Interval, "2 weeks ago", "-14 days"),
        (&T::Interval, "10days", "10 days"),
        (&T::Interval, "0 seconds", "00:00:00"),
        (&T::Interval, "-00:00:01", "-00:00:01"),
        (&T::Interval, "soon", "error: could not convert 'soon' to INTERVAL"),
        (&T::Blob, "a\\x00\\xFFb", "a\\x00\\xFFb"),
        (&T::Blob, "a\\b", "error: could not convert 'a\\b' to BLOB"),
    ];
    for (ty, input, expected) in cases {
        assert_eq!(from_text(input, ty), expected, "{input} as {ty}");
    }
}

#[test]
fn numbers_among_each_other() {
    use LogicalType as T;
    let decimal = |value, scale| lit(Scalar::decimal(value, 20, scale));
    let double = |value| lit(Scalar::float64(value));
    let to = |precision, scale| T::Decimal { precision, scale };
    let cases: Vec<(Expr, T, &str)> = vec![
        (double(2.5), T::Int32, "2"),
        (double(3.5), T::Int32, "4"),
        (double(-2.5), T::Int64, "-2"),
        (
            double(1e10),
            T::Int32,
            "error: could not convert 10000000000.0 from DOUBLE to INTEGER: out of range",
        ),
        (
            double(9_223_372_036_854_775_808.0),
            T::Int64,
            "error: could not convert 9.223372036854776e+18 from DOUBLE to BIGINT: out of range",
        ),
        (
            double(f64::NAN),
            T::Int64,
            "error: could not convert nan from DOUBLE to BIGINT: out of range",
        ),
        (
            double(1e39),
            T::Float32,
            "error: could not convert 1e+39 from DOUBLE to FLOAT: out of range",
        ),
        (double(f64::INFINITY), T::Float32, "inf"),
        (double(0.1), to(10, 3), "0.100"),
        (double(1.005), to(10, 2), "1.01"),
        (
            double(1e20),
            to(10, 2),
            "error: could not convert 1e+20 from DOUBLE to DECIMAL(10,2): out of range",
        ),
        (decimal(25, 1), T::Int32, "3"),
        (decimal(-25, 1), T::Int32, "-3"),
        (decimal(-25, 1), to(5, 0), "-3"),
        (decimal(25, 1), to(5, 3), "2.500"),
        (
            decimal(12345, 0),
            to(5, 1),
            "error: could not convert 12345 from DECIMAL(20,0) to DECIMAL(5,1): out of range",
        ),
        (decimal(1, 1), T::Float64, "0.1"),
        (decimal(12_345_678_901_234_567_890, 5), T::Float64, "123456789012345.67"),
        (
            lit(Scalar::int64(300)),
            T::Int8,
            "error: could not convert 300 from BIGINT to TINYINT: out of range",
        ),
        (
            lit(Scalar::int64(-1)),
            T::UInt64,
            "error: could not convert -1 from BIGINT to UBIGINT: out of range",
        ),
        (lit(Scalar::int64(7)), to(3, 2), "7.00"),
        (
            lit(Scalar::int64(70)),
            to(3, 2),
            "error: could not convert 70 from BIGINT to DECIMAL(3,2): out of range",
        ),
        (lit(Scalar::boolean(true)), T::Int16, "1"),
        (lit(Scalar::boolean(true)), to(3, 2), "1.00"),
        (lit(Scalar::int64(-3)), T::Boolean, "true"),
        (double(0.0), T::Boolean, "false"),
    ];
    for (input, ty, expected) in cases {
        assert_eq!(shown(&cast_to(input.clone(), ty.clone())), expected, "{input:?} as {ty}");
    }
}

#[test]
fn moments_among_each_other() {
    use LogicalType as T;
    let stamp = |unit| T::Timestamp(unit, None);
    let zoned = |zone: &str| T::Timestamp(TimeUnit::Microsecond, Some(zone.into()));
    let micros = stamp(TimeUnit::Microsecond);
    let cases: Vec<(&str, T, T, &str)> = vec![
        ("2024-05-05", T::Date, micros.clone(), "2024-05-05 00:00:00"),
        ("1969-12-31 23:59:59.5", micros.clone(), T::Date, "1969-12-31"),
        ("1969-12-31 23:59:59.5", micros.clone(), stamp(TimeUnit::Second), "1969-12-31 23:59:59"),
        ("2024-05-05 01:02:03.25", micros.clone(), T::Time(TimeUnit::Millisecond), "01:02:03.25"),
        ("2024-07-01 00:30:00+00", zoned("UTC"), micros.clone(), "2024-07-01 00:30:00"),
        (
            "2024-07-01 00:30:00+00",
            zoned("America/New_York"),
            micros.clone(),
            "2024-06-30 20:30:00",
        ),
        ("2024-07-01 00:30:00+00", zoned("America/New_York"), T::Date, "2024-06-30"),
        ("2024-07-01 00:30:00", micros.clone(), zoned("Europe/Berlin"), "2024-07-01 00:30:00+02"),
        ("2024-03-31 02:30:00", micros.clone(), zoned("Europe/Berlin"), "2024-03-31 03:30:00+02"),
        ("2024-07-01 00:30:00+00", zoned("UTC"), zoned("Asia/Tokyo"), "2024-07-01 09:30:00+09"),
        (
            "9999-12-31",
            T::Date,
            stamp(TimeUnit::Nanosecond),
            "error: could not convert 9999-12-31 from DATE to TIMESTAMP_NS: out of range",
        ),
        ("01:30:00", T::Time(TimeUnit::Microsecond), T::Interval, "01:30:00"),
    ];
    for (input, from, to, expected) in cases {
        let expr = cast_to(cast_to(text(input), from), to);
        assert_eq!(shown(&expr), expected, "{input}");
    }
}

#[test]
fn every_type_survives_a_round_trip_through_text() {
    let mut random = Random(5);
    for (ty, texts) in samples() {
        let values = random_column(&mut random, &ty, &texts, 40);
        let expected: Vec<_> = values.iter().cloned().map(Some).collect();
        let there = cast_to(Expr::column(0, ty.clone()), LogicalType::Text);
        check(&cast_to(there, ty.clone()), &[(ty.clone(), values)], &expected);
    }
}

#[test]
fn integers_of_all_widths() {
    let mut random = Random(13);
    let types: Vec<_> = samples().into_iter().filter(|(ty, _)| ty.is_integer()).collect();
    for (from, texts) in &types {
        for (to, _) in &types {
            let values = random_column(&mut random, from, texts, 30);
            let convert = |value: &Scalar| {
                let Some(wide) = value.as_i128() else { return Some(Scalar::null(to.clone())) };
                let text = Scalar::text(&wide.to_string());
                let array = arrow::compute::cast(text.array(), &to.to_arrow()).unwrap();
                array.is_valid(0).then(|| Scalar::from_array(&array, 0).unwrap())
            };
            let columns = [(from.clone(), values.clone())];
            let expected: Vec<_> = values.iter().map(convert).collect();
            check(&cast_to(Expr::column(0, from.clone()), to.clone()), &columns, &expected);
            let or_null = Expr::Cast {
                input: Box::new(Expr::column(0, from.clone())),
                ty: to.clone(),
                or_null: true,
            };
            let null = Some(Scalar::null(to.clone()));
            let expected: Vec<_> =
                expected.into_iter().map(|value| value.or(null.clone())).collect();
            check(&or_null, &columns, &expected);
        }
    }
}

#[test]
fn integers_to_decimals_and_doubles() {
    let ty = LogicalType::Int32;
    let numbers = [-2_147_483_648, -1, 0, 99, 100, 2_147_483_647_i64];
    let values: Vec<Scalar> = numbers.iter().map(|v| scalar(&ty, &v.to_string())).collect();
    let columns = [(ty.clone(), values)];
    let decimal = LogicalType::Decimal { precision: 4, scale: 2 };
    let expected: Vec<_> = numbers
        .iter()
        .map(|&v| (v.abs() < 100).then(|| Scalar::decimal(i128::from(v) * 100, 4, 2)))
        .collect();
    check(&cast_to(Expr::column(0, ty.clone()), decimal), &columns, &expected);
    let expected: Vec<_> = numbers.iter().map(|&v| Some(Scalar::float64(v as f64))).collect();
    check(&cast_to(Expr::column(0, ty), LogicalType::Float64), &columns, &expected);
}
