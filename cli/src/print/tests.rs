//! Exact texts of every format. Lines of tables are compared with their frames written in ASCII.

use std::{convert::Infallible, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array,
        DurationMicrosecondArray, Float32Array, Float64Array, Int32Array, Int64Array,
        IntervalMonthDayNanoArray, ListArray, MapArray, NullArray, StringViewArray, StructArray,
        Time32SecondArray, Time64NanosecondArray, TimestampMicrosecondArray,
        TimestampNanosecondArray, TimestampSecondArray, UInt64Array,
    },
    buffer::OffsetBuffer,
    datatypes::{Field, Int32Type, IntervalMonthDayNano, Schema},
};

use super::*;

fn options(format: Format) -> Options {
    Options { format, header: true, max_rows: None, width: None }
}

fn batch(columns: &[(&str, ArrayRef)]) -> (Vec<Column>, RecordBatch) {
    let described = columns
        .iter()
        .map(|(name, array)| Column {
            name: (*name).into(),
            type_name: array.data_type().to_string().to_uppercase(),
            data_type: array.data_type().clone(),
        })
        .collect();
    let fields: Vec<Field> =
        columns.iter().map(|(name, a)| Field::new(*name, a.data_type().clone(), true)).collect();
    let arrays = columns.iter().map(|(_, array)| Arc::clone(array)).collect();
    (described, RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap())
}

fn show(columns: &[Column], batches: &[RecordBatch], options: Options) -> String {
    let mut out = Vec::new();
    let batches = batches.iter().cloned().map(Ok::<_, Infallible>);
    print(&mut out, columns, batches, options).unwrap();
    String::from_utf8(out).unwrap()
}

fn ascii(text: &str) -> String {
    let draw = |c| match c {
        '\u{2500}' => '-',
        '\u{2502}' => '|',
        '\u{2026}' => '~',
        '\u{b7}' => ':',
        '\u{250c}'..='\u{253c}' => '+',
        c => c,
    };
    text.chars().map(draw).collect()
}

fn sample() -> (Vec<Column>, RecordBatch) {
    batch(&[
        ("n", Arc::new(Int64Array::from(vec![Some(1), None, Some(-30)]))),
        ("t", Arc::new(StringViewArray::from(vec![Some("a|b,\"c\"\n"), Some(""), None]))),
        ("n", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), None]))),
    ])
}

#[test]
fn test_delimited() {
    let (columns, batch) = sample();
    let csv = show(&columns, std::slice::from_ref(&batch), options(Format::Csv));
    assert_eq!(csv, "n,t,n\n1,\"a|b,\"\"c\"\"\n\",0.1\n,\"\",NaN\n-30,,\n");
    let bare = Options { header: false, ..options(Format::Tsv) };
    let tsv = show(&columns, &[batch], bare);
    assert_eq!(tsv, "1\t\"a|b,\"\"c\"\"\n\"\t0.1\n\t\"\"\tNaN\n-30\t\t\n");
}

#[test]
fn test_json() {
    let (columns, batch) = sample();
    let lines = "{\"n\":1,\"t\":\"a|b,\\\"c\\\"\\n\",\"n_1\":0.1}\n\
                 {\"n\":null,\"t\":\"\",\"n_1\":\"NaN\"}\n\
                 {\"n\":-30,\"t\":null,\"n_1\":null}\n";
    let cut = [batch.slice(0, 1), batch.slice(1, 0), batch.slice(1, 2)];
    assert_eq!(show(&columns, &cut, options(Format::Jsonl)), lines);
    let array = format!("[\n{}\n]\n", lines.trim_end().replace("}\n", "},\n"));
    assert_eq!(show(&columns, &cut, options(Format::Json)), array);
    assert_eq!(show(&columns, &[], options(Format::Json)), "[]\n");
    assert_eq!(show(&columns, &[], options(Format::Jsonl)), "");
}

#[test]
fn test_markdown() {
    let (columns, batch) = sample();
    let markdown = show(&columns, &[batch], options(Format::Markdown));
    let expected = "| n | t | n |\n|--:|---|--:|\n\
                    | 1 | a\\|b,\"c\"<br> | 0.1 |\n\
                    | NULL |  | NaN |\n\
                    | -30 | NULL | NULL |\n";
    assert_eq!(markdown, expected);
}

#[test]
fn test_table() {
    let (columns, batch) = sample();
    let table = show(&columns, std::slice::from_ref(&batch), options(Format::Table));
    let expected = "\
+-------+-----------+---------+
|   n   |     t     |    n    |
| INT64 | UTF8VIEW  | FLOAT64 |
+-------+-----------+---------+
|     1 | a|b,\"c\"\\n |     0.1 |
|  NULL |           |     NaN |
|   -30 | NULL      |    NULL |
+-------+-----------+---------+
3 rows
";
    assert_eq!(ascii(&table), expected);
    assert!(table.starts_with("\u{250c}\u{2500}"));
    let bare = Options { header: false, ..options(Format::Table) };
    let expected = "\
+------+
|    1 |
| NULL |
|  -30 |
+------+
";
    let one = batch.project(&[0]).unwrap();
    assert_eq!(ascii(&show(&columns[..1], &[one], bare)), expected);
    let empty = "\
+-------+----------+---------+
|   n   |    t     |    n    |
| INT64 | UTF8VIEW | FLOAT64 |
+-------+----------+---------+
+-------+----------+---------+
0 rows
";
    assert_eq!(ascii(&show(&columns, &[], options(Format::Table))), empty);
}

#[test]
fn test_table_shows_first_and_last_rows() {
    let (columns, batch) = batch(&[("i", Arc::new(Int32Array::from_iter_values(0..1000)))]);
    let limited = |max_rows| Options { max_rows: Some(max_rows), ..options(Format::Table) };
    for step in [1, 7, 1000] {
        let batches: Vec<_> =
            (0..1000).step_by(step).map(|i| batch.slice(i, step.min(1000 - i))).collect();
        let expected = "\
+-------+
|   i   |
| INT32 |
+-------+
|     0 |
|     1 |
|     2 |
|   :   |
|   998 |
|   999 |
+-------+
1000 rows (5 shown)
";
        assert_eq!(ascii(&show(&columns, &batches, limited(5))), expected);
    }
    for rows in [5, 4] {
        let table = show(&columns, &[batch.slice(10, rows)], limited(5));
        assert!(table.ends_with(&format!("\n{rows} rows\n")), "{table}");
        assert!(!table.contains('\u{b7}'));
        assert_eq!(table.lines().count(), rows + 6);
    }
    let one = ascii(&show(&columns, &[batch], limited(1)));
    assert!(one.contains("|     0 |\n|   :   |\n+---"), "{one}");
}

#[test]
fn test_table_fits_the_width() {
    let text = |text: &str| -> ArrayRef { Arc::new(StringViewArray::from(vec![text])) };
    let long = "x".repeat(60);
    let (columns, one) = batch(&[("a", text(&long)), ("b", text("short")), ("c", text(&long))]);
    let within = |width| Options { width: Some(width), ..options(Format::Table) };
    let table = show(&columns, std::slice::from_ref(&one), within(70));
    assert!(table.lines().all(|line| line.chars().count() <= 70));
    let row = ascii(table.lines().nth(4).unwrap());
    let cut = "x".repeat(25) + "~";
    assert_eq!(row, format!("| {cut} | short    | {cut} |"));
    let wide = show(&columns, &[one], within(1000));
    assert!(wide.contains(&format!(" {long} ")));
    let names: Vec<String> = (0..30).map(|i| format!("column{i:02}")).collect();
    let many: Vec<(&str, ArrayRef)> = names.iter().map(|name| (&name[..], text("v"))).collect();
    let (columns, many) = batch(&many);
    let expected = "\
+----------+----------+---+----------+
| column00 | column01 | ~ | column29 |
| UTF8VIEW | UTF8VIEW |   | UTF8VIEW |
+----------+----------+---+----------+
| v        | v        | ~ | v        |
+----------+----------+---+----------+
1 row, 30 columns (3 shown)
";
    assert_eq!(ascii(&show(&columns, std::slice::from_ref(&many), within(40))), expected);
    let tiny = show(&columns, &[many], within(3));
    assert!(tiny.contains("column00") && tiny.contains("(1 shown)"));
}

#[test]
fn test_table_of_values_wider_than_16_bits() {
    let text = "x".repeat(70_000);
    let values: ArrayRef = Arc::new(StringViewArray::from(vec![text.as_str(), "y"]));
    let (columns, rows) = batch(&[("t", values)]);
    let shown = show(&columns, &[rows], options(Format::Table));
    assert!(shown.lines().filter(|line| line.contains('x') || line.contains('y')).count() >= 2);
    assert!(shown.contains(&text));
}

#[test]
fn test_table_counts_wide_characters_twice() {
    let texts = ["\u{65e5}\u{672c}", "e\u{301}", "abcd"];
    let (columns, batch) = batch(&[("t", Arc::new(StringViewArray::from_iter_values(texts)))]);
    let table = show(&columns, std::slice::from_ref(&batch), options(Format::Table));
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[4], "\u{2502} \u{65e5}\u{672c}     \u{2502}");
    assert_eq!(lines[5], "\u{2502} e\u{301}        \u{2502}");
    assert_eq!(lines[6], "\u{2502} abcd     \u{2502}");
}

fn text_of(array: ArrayRef) -> Vec<String> {
    let mut texts = Vec::new();
    for row in 0..array.len() {
        let mut text = String::new();
        cell::write_text(&mut text, array.as_ref(), row).unwrap();
        texts.push(text);
    }
    texts
}

fn json_of(array: ArrayRef) -> Vec<String> {
    let mut texts = Vec::new();
    for row in 0..array.len() {
        let mut text = String::new();
        cell::write_json(&mut text, array.as_ref(), row).unwrap();
        texts.push(text);
    }
    texts
}

#[test]
fn test_numbers() {
    let floats = vec![1.0, 0.1, -0.0, 1e300, 1e16, 5e-324, f64::INFINITY, f64::NEG_INFINITY];
    let expected = ["1.0", "0.1", "-0.0", "1e300", "1e16", "5e-324", "inf", "-inf"];
    assert_eq!(text_of(Arc::new(Float64Array::from(floats))), expected);
    assert_eq!(text_of(Arc::new(Float32Array::from(vec![0.1, 16777216.0]))), ["0.1", "16777216.0"]);
    let decimal = |scale: i8, values: Vec<i128>| -> ArrayRef {
        let array = Decimal128Array::from(values);
        Arc::new(array.with_precision_and_scale(38, scale).unwrap())
    };
    let values = vec![0, 5, -5, 100, -12345];
    assert_eq!(text_of(decimal(2, values.clone())), ["0.00", "0.05", "-0.05", "1.00", "-123.45"]);
    assert_eq!(text_of(decimal(0, values.clone())), ["0", "5", "-5", "100", "-12345"]);
    assert_eq!(text_of(decimal(-2, values)), ["0", "500", "-500", "10000", "-1234500"]);
    let most = 10_i128.pow(38) - 1;
    assert_eq!(text_of(decimal(38, vec![-most])), [format!("-0.{}", "9".repeat(38))]);
    assert_eq!(text_of(Arc::new(UInt64Array::from(vec![u64::MAX]))), ["18446744073709551615"]);
    assert_eq!(
        json_of(Arc::new(Float64Array::from(vec![-1.5, f64::INFINITY]))),
        ["-1.5", "\"inf\""]
    );
    assert_eq!(json_of(decimal(2, vec![-5])), ["-0.05"]);
}

#[test]
fn test_dates_and_times() {
    let days = vec![0, -1, 11_016, 19_782, -719_468, -719_529, 2_932_897];
    let expected = [
        "1970-01-01",
        "1969-12-31",
        "2000-02-29",
        "2024-02-29",
        "0000-03-01",
        "-0001-12-31",
        "10000-01-01",
    ];
    assert_eq!(text_of(Arc::new(Date32Array::from(days))), expected);
    assert_eq!(json_of(Arc::new(Date32Array::from(vec![0]))), ["\"1970-01-01\""]);
    let micros = vec![0, -1, 1_700_000_000_120_000];
    let expected = ["1970-01-01 00:00:00", "1969-12-31 23:59:59.999999", "2023-11-14 22:13:20.12"];
    assert_eq!(text_of(Arc::new(TimestampMicrosecondArray::from(micros))), expected);
    let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1]));
    assert_eq!(text_of(nanos), ["1970-01-01 00:00:00.000000001"]);
    let zoned = |zone: &str, seconds: i64| {
        text_of(Arc::new(TimestampSecondArray::from(vec![seconds]).with_timezone(zone)))
    };
    assert_eq!(zoned("Europe/Berlin", 1_720_000_000), ["2024-07-03 11:46:40+02"]);
    assert_eq!(zoned("UTC", 0), ["1970-01-01 00:00:00+00"]);
    assert_eq!(zoned("-03:30", 0), ["1969-12-31 20:30:00-03:30"]);
    assert_eq!(text_of(Arc::new(Time32SecondArray::from(vec![86_399]))), ["23:59:59"]);
    assert_eq!(text_of(Arc::new(Time64NanosecondArray::from(vec![5_000_000]))), ["00:00:00.005"]);
    let far = TimestampSecondArray::from(vec![i64::MAX]).with_timezone("Europe/Berlin");
    assert!(text_of(Arc::new(far))[0].starts_with("292277026596-"));
}

#[test]
fn test_intervals() {
    let interval = |months, days, nanos| IntervalMonthDayNano::new(months, days, nanos);
    let values = vec![
        interval(0, 0, 0),
        interval(14, 1, 0),
        interval(-1, 40, -90_500_000_000),
        interval(0, 0, 3_600_000_000_000 * 30),
    ];
    let expected =
        ["00:00:00", "1 year 2 months 1 day", "-1 month 40 days -00:01:30.5", "30:00:00"];
    assert_eq!(text_of(Arc::new(IntervalMonthDayNanoArray::from(values))), expected);
    let durations = DurationMicrosecondArray::from(vec![-1, 90_000_000_000]);
    assert_eq!(text_of(Arc::new(durations)), ["-00:00:00.000001", "1 day 01:00:00"]);
}

#[test]
fn test_other_values() {
    let blob: ArrayRef = Arc::new(BinaryViewArray::from_iter_values([&b"a\\\x00\xff~"[..]]));
    assert_eq!(text_of(Arc::clone(&blob)), ["a\\x5C\\x00\\xFF~"]);
    assert_eq!(json_of(blob), ["\"a\\\\x5C\\\\x00\\\\xFF~\""]);
    assert_eq!(text_of(Arc::new(BooleanArray::from(vec![true, false]))), ["true", "false"]);
    assert_eq!(json_of(Arc::new(NullArray::new(1))), ["null"]);
    assert_eq!(
        json_of(Arc::new(StringViewArray::from(vec!["\u{1}\t\u{e9}"]))),
        ["\"\\u0001\\t\u{e9}\""]
    );
    let lists = vec![Some(vec![Some(1), None]), Some(vec![])];
    let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists));
    assert_eq!(text_of(Arc::clone(&list)), ["[1,null]", "[]"]);
    let fields =
        |array: &ArrayRef, name: &str| Arc::new(Field::new(name, array.data_type().clone(), true));
    let keys: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let dates: ArrayRef = Arc::new(Date32Array::from(vec![Some(0), None]));
    let structs = StructArray::from(vec![
        (fields(&dates, "d"), Arc::clone(&dates)),
        (fields(&list, "l"), list),
    ]);
    let expected = ["{\"d\":\"1970-01-01\",\"l\":[1,null]}", "{\"d\":null,\"l\":[]}"];
    assert_eq!(text_of(Arc::new(structs)), expected);
    let key = Arc::new(Field::new("key", keys.data_type().clone(), false));
    let entries = StructArray::from(vec![(key, keys), (fields(&dates, "value"), dates)]);
    let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
    let map = MapArray::new(field, OffsetBuffer::from_lengths([2, 0]), entries, None, false);
    assert_eq!(text_of(Arc::new(map)), ["{\"1\":\"1970-01-01\",\"2\":null}", "{}"]);
    let dictionary =
        vec!["b", "a", "b"].into_iter().collect::<arrow::array::DictionaryArray<Int32Type>>();
    assert_eq!(dictionary.values().as_string::<i32>().len(), 2);
    assert_eq!(text_of(Arc::new(dictionary)), ["b", "a", "b"]);
}

struct Closing(usize);

impl Write for Closing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(1).ok_or(ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn test_closed_pipe_and_errors() {
    let (columns, batch) = sample();
    let endless = std::iter::repeat(batch.clone()).map(Ok::<_, Infallible>);
    let printed = print(&mut Closing(50), &columns, endless, options(Format::Csv)).unwrap();
    assert!(printed.closed && printed.rows < 60);
    let fails = [Ok(batch), Err("division by zero")];
    let error = print(&mut Vec::new(), &columns, fails, options(Format::Csv)).unwrap_err();
    assert_eq!(error.to_string(), "division by zero");
    let empty =
        print(&mut Vec::new(), &columns, [Ok::<_, Infallible>(sample().1)], options(Format::Table));
    assert_eq!(empty.unwrap(), Printed { rows: 3, closed: false });
}
