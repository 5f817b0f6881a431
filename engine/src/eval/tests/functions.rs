//! LIKE, functions on text, numbers and moments: tables, and naive oracles over random texts.

use chrono::{Datelike, Days, NaiveDate};
use stoadb_storage::TimeUnit;

use super::*;

const INT: LogicalType = LogicalType::Int64;

fn int(value: i64) -> Expr {
    lit(Scalar::int64(value))
}

fn null_text() -> Expr {
    lit(Scalar::null(LogicalType::Text))
}

fn texts(random: &mut Random, alphabet: &[&str], rows: usize) -> Vec<Option<String>> {
    (0..rows)
        .map(|_| {
            let length = random.below(9);
            (random.below(6) > 0).then(|| (0..length).map(|_| random.pick(alphabet)).collect())
        })
        .collect()
}

fn text_column(values: &[Option<String>]) -> (LogicalType, Vec<Scalar>) {
    let scalar = |value: &Option<String>| match value {
        Some(value) => Scalar::text(value),
        None => Scalar::null(LogicalType::Text),
    };
    (LogicalType::Text, values.iter().map(scalar).collect())
}

fn naive_like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|at| naive_like(&text[at..], rest)),
        ['\\', c, rest @ ..] => text.first() == Some(c) && naive_like(&text[1..], rest),
        ['_', rest @ ..] => !text.is_empty() && naive_like(&text[1..], rest),
        [c, rest @ ..] => text.first() == Some(c) && naive_like(&text[1..], rest),
    }
}

fn like(input: Expr, pattern: Expr, negated: bool, ignore_case: bool) -> Expr {
    let (input, pattern) = (Box::new(input), Box::new(pattern));
    Expr::Like { input, pattern, escape: None, negated, ignore_case }
}

#[test]
fn like_against_a_naive_matcher() {
    let mut random = Random(29);
    let column = Expr::column(0, LogicalType::Text);
    for round in 0..40 {
        let values = texts(&mut random, &["a", "b", "B", "%", "\u{e4}", "\n"], 40);
        let pattern: String = (0..random.below(6))
            .map(|_| random.pick(&["a", "b", "%", "%", "_", "\\%", "\u{e4}"]))
            .collect();
        let (negated, ignore_case) = (round % 3 == 0, round % 2 == 0);
        let fold = |text: &str| if ignore_case { text.to_lowercase() } else { text.to_owned() };
        let chars = |text: &str| fold(text).chars().collect::<Vec<_>>();
        let oracle = |value: &Option<String>, pattern: &Option<String>| {
            Some(match value.as_ref().zip(pattern.as_ref()) {
                Some((value, pattern)) => {
                    Scalar::boolean(naive_like(&chars(value), &chars(pattern)) != negated)
                }
                None => Scalar::null(LogicalType::Boolean),
            })
        };
        let expected: Vec<_> =
            values.iter().map(|value| oracle(value, &Some(pattern.clone()))).collect();
        let expr = like(column.clone(), text(&pattern), negated, ignore_case);
        check(&expr, &[text_column(&values)], &expected);
        let patterns = texts(&mut random, &["a", "%", "_"], 40);
        let expected: Vec<_> = values.iter().zip(&patterns).map(|(v, p)| oracle(v, p)).collect();
        let expr = like(column.clone(), Expr::column(1, LogicalType::Text), negated, ignore_case);
        check(&expr, &[text_column(&values), text_column(&patterns)], &expected);
    }
}

#[test]
fn like_escapes() {
    let with = |escape: Option<char>, pattern: &str| Expr::Like {
        input: Box::new(text("50%")),
        pattern: Box::new(text(pattern)),
        escape,
        negated: false,
        ignore_case: false,
    };
    assert_eq!(shown(&with(Some('!'), "50!%")), "true");
    assert_eq!(shown(&with(None, "50\\%")), "true");
    assert_eq!(shown(&with(Some('!'), "50\\%")), "false");
    assert_eq!(
        shown(&with(Some('!'), "50!")),
        "error: the LIKE pattern '50!' ends with its escape character"
    );
}

#[test]
fn text_functions() {
    let t = LogicalType::Text;
    let cases: Vec<(&str, Vec<Expr>, &LogicalType, &str)> = vec![
        ("upper", vec![text("a\u{e4}b")], &t, "A\u{c4}B"),
        ("lower", vec![text("AbC")], &t, "abc"),
        ("length", vec![text("a\u{e4}b")], &INT, "3"),
        ("octet_length", vec![text("a\u{e4}b")], &INT, "4"),
        ("substr", vec![text("abcdef"), int(2), int(3)], &t, "bcd"),
        ("substr", vec![text("abcdef"), int(-1), int(4)], &t, "ab"),
        ("substr", vec![text("\u{e4}bc"), int(2)], &t, "bc"),
        ("substr", vec![text("abc"), int(5)], &t, ""),
        ("substr", vec![text("abc"), int(2), int(i64::MAX)], &t, "bc"),
        ("substr", vec![text("abc"), int(1), int(-1)], &t, "error: negative substring length: -1"),
        ("left", vec![text("\u{e4}bc"), int(2)], &t, "\u{e4}b"),
        ("left", vec![text("abc"), int(-1)], &t, "ab"),
        ("left", vec![text("abc"), int(i64::MIN)], &t, ""),
        ("right", vec![text("abc"), int(2)], &t, "bc"),
        ("right", vec![text("abc"), int(-1)], &t, "bc"),
        ("right", vec![text("abc"), int(9)], &t, "abc"),
        ("btrim", vec![text("  a b ")], &t, "a b"),
        ("ltrim", vec![text("xyxa"), text("xy")], &t, "a"),
        ("rtrim", vec![text("axyx"), text("xy")], &t, "a"),
        ("concat", vec![text("a"), null_text(), text("b")], &t, "ab"),
        ("concat_op", vec![text("a"), null_text()], &t, "NULL"),
        ("concat_op", vec![text("a"), text("b")], &t, "ab"),
        ("concat_ws", vec![text(","), text("a"), null_text(), text("b")], &t, "a,b"),
        ("concat_ws", vec![null_text(), text("a"), text("b")], &t, "NULL"),
        ("starts_with", vec![text("abc"), text("ab")], &LogicalType::Boolean, "true"),
        ("ends_with", vec![text("abc"), text("ab")], &LogicalType::Boolean, "false"),
        ("contains", vec![text("abc"), text("bc")], &LogicalType::Boolean, "true"),
        ("contains", vec![text("abc"), null_text()], &LogicalType::Boolean, "NULL"),
        ("strpos", vec![text("\u{e4}bc"), text("c")], &INT, "3"),
        ("strpos", vec![text("abc"), text("")], &INT, "1"),
        ("strpos", vec![text("abc"), text("x")], &INT, "0"),
        ("replace", vec![text("aXbX"), text("X"), text("--")], &t, "a--b--"),
        ("replace", vec![text("ab"), text(""), text("x")], &t, "ab"),
        ("reverse", vec![text("ab\u{e4}")], &t, "\u{e4}ba"),
        ("repeat", vec![text("ab"), int(3)], &t, "ababab"),
        ("repeat", vec![text("ab"), int(-3)], &t, ""),
        (
            "repeat",
            vec![text("ab"), int(i64::MAX)],
            &t,
            "error: out of memory: repeat() would make more than 1 GiB, the most that one call may (about \
             18446744073709551614 bytes)",
        ),
        ("lpad", vec![text("7"), int(3), text("ab")], &t, "ab7"),
        ("lpad", vec![text("abcd"), int(2)], &t, "ab"),
        ("rpad", vec![text("7"), int(4), text("ab")], &t, "7aba"),
        (
            "rpad",
            vec![text("7"), int(1 << 40)],
            &t,
            "error: out of memory: rpad() would make more than 1 GiB, the most that one call may (about \
             1099511627776 bytes)",
        ),
        ("split_part", vec![text("a,b,c"), text(","), int(2)], &t, "b"),
        ("split_part", vec![text("a,b,c"), text(","), int(-1)], &t, "c"),
        ("split_part", vec![text("a,b,c"), text(","), int(4)], &t, ""),
        (
            "split_part",
            vec![text("a,b"), text(","), int(0)],
            &t,
            "error: split_part: the field number must not be 0",
        ),
    ];
    for (name, args, ty, expected) in cases {
        assert_eq!(shown(&call(name, args.clone(), ty.clone())), expected, "{name} {args:?}");
    }
}

#[test]
fn text_functions_of_columns() {
    let mut random = Random(31);
    let values = texts(&mut random, &["a", "b", " ", "\u{e4}", "zz"], 60);
    let (_, scalars) = text_column(&values);
    let column = || Expr::column(0, LogicalType::Text);
    let checked = |expr: Expr, f: &dyn Fn(&str) -> Scalar| {
        let null = Scalar::null(expr.ty());
        let one = |value: &Option<String>| Some(value.as_deref().map_or(null.clone(), f));
        let expected: Vec<_> = values.iter().map(one).collect();
        check(&expr, &[(LogicalType::Text, scalars.clone())], &expected);
    };
    let t = LogicalType::Text;
    checked(call("upper", vec![column()], t.clone()), &|v| Scalar::text(&v.to_uppercase()));
    checked(call("length", vec![column()], INT), &|v| Scalar::int64(v.chars().count() as i64));
    checked(call("btrim", vec![column()], t.clone()), &|v| Scalar::text(v.trim_matches(' ')));
    checked(call("substr", vec![column(), int(2), int(2)], t.clone()), &|v| {
        Scalar::text(&v.chars().skip(1).take(2).collect::<String>())
    });
    checked(call("strpos", vec![column(), text("b")], INT), &|v| {
        Scalar::int64(v.chars().position(|c| c == 'b').map_or(0, |at| at as i64 + 1))
    });
    checked(call("concat_op", vec![column(), text("!"), column()], t), &|v| {
        Scalar::text(&format!("{v}!{v}"))
    });
}

#[test]
fn numbers() {
    let double = |value: f64| lit(Scalar::float64(value));
    let decimal = |value: i128| lit(Scalar::decimal(value, 10, 2));
    let (f, d) = (LogicalType::Float64, LogicalType::Decimal { precision: 10, scale: 2 });
    let d0 = LogicalType::Decimal { precision: 10, scale: 0 };
    let cases: Vec<(&str, Vec<Expr>, &LogicalType, &str)> = vec![
        ("abs", vec![int(-5)], &INT, "5"),
        (
            "abs",
            vec![int(i64::MIN)],
            &INT,
            "error: overflow: abs(-9223372036854775808) does not fit BIGINT",
        ),
        ("abs", vec![decimal(-250)], &d, "2.50"),
        ("sign", vec![double(-3.0)], &f, "-1.0"),
        ("sign", vec![decimal(-250)], &d, "-1.00"),
        ("ceil", vec![decimal(-250)], &d0, "-2"),
        ("floor", vec![decimal(-250)], &d0, "-3"),
        ("round", vec![decimal(250)], &d0, "3"),
        ("trunc", vec![decimal(-299)], &d0, "-2"),
        ("ceil", vec![double(-0.5)], &f, "-0.0"),
        ("round", vec![double(2.375), int(2)], &f, "2.38"),
        ("round", vec![double(1234.0), int(-2)], &f, "1200.0"),
        ("round", vec![double(1e300), int(300)], &f, "1e+300"),
        ("trunc", vec![double(2.349), int(2)], &f, "2.34"),
        ("sqrt", vec![double(9.0)], &f, "3.0"),
        ("sqrt", vec![double(-1.0)], &f, "error: sqrt of a negative number: -1"),
        ("ln", vec![double(0.0)], &f, "error: ln of zero"),
        ("log10", vec![double(1000.0)], &f, "3.0"),
        ("power", vec![double(2.0), double(10.0)], &f, "1024.0"),
        ("mod", vec![int(-7), int(3)], &INT, "-1"),
        ("greatest", vec![int(3), lit(Scalar::null(INT)), int(9)], &INT, "9"),
        ("greatest", vec![int(3), int(4), int(2)], &INT, "4"),
        ("least", vec![double(f64::NAN), double(1.0)], &f, "1.0"),
        ("nullif", vec![int(3), int(3)], &INT, "NULL"),
        ("nullif", vec![int(3), lit(Scalar::null(INT))], &INT, "3"),
        ("coalesce", vec![lit(Scalar::null(INT)), int(4)], &INT, "4"),
    ];
    for (name, args, ty, expected) in cases {
        assert_eq!(shown(&call(name, args.clone(), ty.clone())), expected, "{name} {args:?}");
    }
}

fn part(field: &str, input: Expr) -> Expr {
    call("date_part", vec![text(field), input], LogicalType::Float64)
}

#[test]
fn parts_of_dates_agree_with_chrono() {
    let first = NaiveDate::from_ymd_opt(1, 1, 1).unwrap();
    let mut random = Random(37);
    let days: Vec<NaiveDate> = (0..300)
        .map(|_| first.checked_add_days(Days::new(random.next() % 1_200_000)).unwrap())
        .chain((0..20).map(|i| NaiveDate::from_ymd_opt(2019 + i, 12, 31).unwrap()))
        .chain((0..20).map(|i| NaiveDate::from_ymd_opt(2019 + i, 1, 1).unwrap()))
        .collect();
    let scalars: Vec<Scalar> =
        days.iter().map(|day| scalar(&LogicalType::Date, &day.to_string())).collect();
    type Oracle = fn(&NaiveDate) -> f64;
    let fields: Vec<(&str, Oracle)> = vec![
        ("year", |d| d.year().into()),
        ("month", |d| d.month().into()),
        ("day", |d| d.day().into()),
        ("quarter", |d| d.quarter().into()),
        ("doy", |d| d.ordinal().into()),
        ("dow", |d| d.weekday().num_days_from_sunday().into()),
        ("isodow", |d| d.weekday().number_from_monday().into()),
        ("week", |d| d.iso_week().week().into()),
        ("isoyear", |d| d.iso_week().year().into()),
        ("century", |d| f64::from((d.year() + 99) / 100)),
        ("decade", |d| f64::from(d.year() / 10)),
        ("epoch", |d| d.and_time(chrono::NaiveTime::MIN).and_utc().timestamp() as f64),
    ];
    for (field, oracle) in fields {
        let expected: Vec<_> = days.iter().map(|day| Some(Scalar::float64(oracle(day)))).collect();
        let expr = part(field, Expr::column(0, LogicalType::Date));
        check(&expr, &[(LogicalType::Date, scalars.clone())], &expected);
    }
    let year = call(
        "date_part",
        vec![text("year"), Expr::column(0, LogicalType::Date)],
        LogicalType::Int32,
    );
    let expected: Vec<_> =
        days.iter().map(|day| Some(scalar(&LogicalType::Int32, &day.year().to_string()))).collect();
    check(&year, &[(LogicalType::Date, scalars)], &expected);
}

#[test]
fn parts_of_other_moments() {
    use LogicalType as T;
    let moment = |value: &str, ty: T| cast_to(text(value), ty);
    let stamp = || moment("2024-03-05 14:15:16.75", T::Timestamp(TimeUnit::Millisecond, None));
    let zoned = T::Timestamp(TimeUnit::Second, Some("Asia/Tokyo".into()));
    let interval = || moment("1 year 14 mons 3 days 50:06:07.5", T::Interval);
    let cases: Vec<(&str, Expr, &str)> = vec![
        ("hour", stamp(), "14.0"),
        ("minute", stamp(), "15.0"),
        ("second", stamp(), "16.75"),
        ("millisecond", stamp(), "16750.0"),
        ("microsecond", stamp(), "16750000.0"),
        ("epoch", stamp(), "1709648116.75"),
        ("hour", moment("2024-01-01 20:00:00Z", zoned.clone()), "5.0"),
        ("day", moment("2024-01-01 20:00:00Z", zoned.clone()), "2.0"),
        ("epoch", moment("1970-01-01 00:00:01Z", zoned), "1.0"),
        ("second", moment("01:02:03.5", T::Time(TimeUnit::Microsecond)), "3.5"),
        ("year", interval(), "2.0"),
        ("month", interval(), "2.0"),
        ("day", interval(), "3.0"),
        ("hour", interval(), "50.0"),
        ("second", interval(), "7.5"),
        ("epoch", moment("1 year 1 month", T::Interval), "34149600.0"),
    ];
    for (field, input, expected) in cases {
        assert_eq!(shown(&part(field, input)), expected, "{field}");
    }
}

#[test]
fn truncation() {
    let ty = LogicalType::Timestamp(TimeUnit::Microsecond, None);
    let berlin = LogicalType::Timestamp(TimeUnit::Microsecond, Some("Europe/Berlin".into()));
    let cases = [
        ("microsecond", "2024-08-15 13:14:15.123456"),
        ("millisecond", "2024-08-15 13:14:15.123"),
        ("second", "2024-08-15 13:14:15"),
        ("minute", "2024-08-15 13:14:00"),
        ("hour", "2024-08-15 13:00:00"),
        ("day", "2024-08-15 00:00:00"),
        ("week", "2024-08-12 00:00:00"),
        ("month", "2024-08-01 00:00:00"),
        ("quarter", "2024-07-01 00:00:00"),
        ("year", "2024-01-01 00:00:00"),
        ("decade", "2020-01-01 00:00:00"),
        ("century", "2001-01-01 00:00:00"),
        ("millennium", "2001-01-01 00:00:00"),
    ];
    let input = |ty: &LogicalType| cast_to(text("2024-08-15 13:14:15.123456"), ty.clone());
    for (field, expected) in cases {
        let expr = call("date_trunc", vec![text(field), input(&ty)], ty.clone());
        assert_eq!(shown(&expr), expected, "{field}");
    }
    let year = call("date_trunc", vec![text("year"), input(&berlin)], berlin);
    assert_eq!(shown(&year), "2024-01-01 00:00:00+01");
}
