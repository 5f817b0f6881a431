//! CSV files against hand-written answers, against the csv-core crate, and against themselves cut into tiny morsels.

use std::{io::Write, ops::ControlFlow, sync::Arc};

use arrow::{
    array::Array,
    util::display::{ArrayFormatter, FormatOptions},
};

use super::{
    dataset::CsvDataset,
    options::{CsvOptions, CsvTypes, Dialect},
    split::{Sink, Span, split, unescape},
};
use crate::{
    error::{Result, StorageError},
    ledger::{Level, ScanLedger},
    scan::{LocalRowFilter, Relation, RowFilter, ScanSpec},
    types::{LogicalType, TimeUnit},
    vector::{Selection, Vector},
};

/// A small generator of numbers, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

struct Ground(tempfile::TempDir);

impl Ground {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn open(path: &str, options: &CsvOptions) -> Result<Arc<CsvDataset>> {
    CsvDataset::open(&[path.to_owned()], options)
}

fn spec(relation: &CsvDataset, projection: Vec<usize>, ledger: Arc<ScanLedger>) -> ScanSpec {
    assert_eq!(ledger.columns(), relation.schema().len());
    ScanSpec { projection, prune: None, filter: None, rows: None, vector_size: 2048, ledger }
}

/// All rows, one line each; values parted by bars, NULL as `~`.
fn rows_of(relation: &CsvDataset, spec: ScanSpec) -> Result<Vec<String>> {
    let scan = relation.scan(spec)?;
    let mut rows = Vec::new();
    for morsel in 0..scan.morsels() {
        let mut morsel = scan.open(morsel)?;
        while let Some(batch) = morsel.next()? {
            assert!(batch.rows > 0 && batch.selection.is_none());
            let arrays: Vec<_> =
                batch.columns.iter().map(|vector| vector.flatten().unwrap()).collect();
            assert!(arrays.iter().all(|array| array.len() == batch.rows));
            let options = FormatOptions::new().with_null("~");
            let formats: Vec<_> = arrays
                .iter()
                .map(|array| ArrayFormatter::try_new(array.as_ref(), &options).unwrap())
                .collect();
            for row in 0..batch.rows {
                let values: Vec<_> =
                    formats.iter().map(|format| format.value(row).to_string()).collect();
                rows.push(values.join("|"));
            }
        }
    }
    Ok(rows)
}

fn read(relation: &CsvDataset) -> Result<Vec<String>> {
    let all = (0..relation.schema().len()).collect();
    rows_of(relation, spec(relation, all, relation.ledger()))
}

/// Columns with their types, and the rows.
fn table(text: impl AsRef<[u8]>, options: &CsvOptions) -> Result<(String, Vec<String>)> {
    let ground = Ground::new();
    let relation = open(&ground.write("t.csv", text), options)?;
    let columns = relation.schema().columns.iter();
    let columns: Vec<_> = columns.map(|column| format!("{} {}", column.name, column.ty)).collect();
    Ok((columns.join(", "), read(&relation)?))
}

#[track_caller]
fn check(text: &str, columns: &str, rows: &[&str]) {
    let found = table(text, &CsvOptions::default()).unwrap();
    assert_eq!((found.0.as_str(), found.1), (columns, strings(rows)), "{text:?}");
}

fn strings(rows: &[&str]) -> Vec<String> {
    rows.iter().map(|&row| row.to_owned()).collect()
}

#[track_caller]
fn fails(text: impl AsRef<[u8]>, options: &CsvOptions, parts: &[&str]) {
    let error = table(text, options).unwrap_err();
    assert!(!matches!(error, StorageError::Internal(_)), "{error}");
    let error = error.to_string();
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}

// The answers of this test are DuckDB's, where no comment says otherwise.
#[test]
fn test_sniffing() {
    check("a,b,c\n1,2.5,x\n2,,y\n", "a BIGINT, b DOUBLE, c VARCHAR", &["1|2.5|x", "2|~|y"]);
    check(
        "a,b\n1,\"\"\n2,\n3,\"x \"\"y\"\" z\"\n",
        "a BIGINT, b VARCHAR",
        &["1|~", "2|~", "3|x \"y\" z"],
    );
    check(
        "a,b,c\ntrue,t,1\nFALSE,f,0\n",
        "a BOOLEAN, b BOOLEAN, c BIGINT",
        &["true|true|1", "false|false|0"],
    );
    check("a;b;c\n1,5;2;x\n2,5;3;y\n", "a VARCHAR, b BIGINT, c VARCHAR", &["1,5|2|x", "2,5|3|y"]);
    check("a\tb\n1\tx\n", "a BIGINT, b VARCHAR", &["1|x"]);
    check("a|b|c\n1|2|3\n", "a BIGINT, b BIGINT, c BIGINT", &["1|2|3"]);
    check("1,2,x\n2,3,y\n", "column0 BIGINT, column1 BIGINT, column2 VARCHAR", &["1|2|x", "2|3|y"]);
    check("x,y\nfoo,bar\n", "x VARCHAR, y VARCHAR", &["foo|bar"]);
    check("a,b\n", "a VARCHAR, b VARCHAR", &[]);
    check("1,2,3", "column0 BIGINT, column1 BIGINT, column2 BIGINT", &["1|2|3"]);
    check(
        "a,A,,b,b\n1,2,3,4,5\n",
        "a BIGINT, A_1 BIGINT, column2 BIGINT, b BIGINT, b_1 BIGINT",
        &["1|2|3|4|5"],
    );
    check("a,b\n5\" pipe,x\n6\" pipe,y\n", "a VARCHAR, b VARCHAR", &["5\" pipe|x", "6\" pipe|y"]);
    check("a,b\r\n1,\"x\r\ny\"\r\n3,4\r\n", "a BIGINT, b VARCHAR", &["1|x\r\ny", "3|4"]);
    check("a,b\r1,2\r3,4\r", "a BIGINT, b BIGINT", &["1|2", "3|4"]);
    check("\u{feff}a,b\n1,2\n", "a BIGINT, b BIGINT", &["1|2"]);
    check("a,b\n\n1,2\n\n3,4\n", "a BIGINT, b BIGINT", &["1|2", "3|4"]);
    check("a\n1\n\n3\n", "a BIGINT", &["1", "~", "3"]);
    check("a,b,\n1,2,\n", "a BIGINT, b BIGINT, column2 VARCHAR", &["1|2|~"]);
    check("a,b\n\"1\",\"2.5\"\n", "a BIGINT, b DOUBLE", &["1|2.5"]);
    check("a,b\n'x,y',1\n'z',2\n", "a VARCHAR, b BIGINT", &["x,y|1", "z|2"]);
    check("a, b\n1, 2\n3, 4\n", "a BIGINT, b BIGINT", &["1|2", "3|4"]);
    check("a,b\n \"x,1\" ,1\n", "a VARCHAR, b BIGINT", &["x,1|1"]);
    check("a,b\n\"x\\\"y\",1\n\"z\",2\n", "a VARCHAR, b BIGINT", &["x\"y|1", "z|2"]);
    check("# c\n# more\na,b\n1,2\n", "a BIGINT, b BIGINT", &["1|2"]);
    check("id,2020\na,1\nb,3\n", "column0 VARCHAR, column1 BIGINT", &["id|2020", "a|1", "b|3"]);
    check("a,b\n,\n,\n", "a VARCHAR, b VARCHAR", &["~|~", "~|~"]);
    check("Full Name,AGE \nx,1\n", "Full Name VARCHAR, AGE BIGINT", &["x|1"]);
    check("text\nhello, world\nfoo\n", "text VARCHAR", &["hello, world", "foo"]);
    check("a\n3:04\n03:04:05.5\n", "a TIME", &["03:04:00", "03:04:05.500"]);
    check("a\n2024-01-02\n\n", "a DATE", &["2024-01-02", "~"]);
    check("a\n2024-01-02 03:04:05\n", "a TIMESTAMP", &["2024-01-02T03:04:05"]);
    check("a\n01\n", "a VARCHAR", &["01"]);
    // DuckDB has a type for these, we have decimals.
    check("a\n9223372036854775808\n", "a DECIMAL(38,0)", &["9223372036854775808"]);
    // DuckDB takes semicolons for text here.
    check("a;b\n1,5;2,5\n", "a VARCHAR, b VARCHAR", &["1,5|2,5"]);
    // Not a date of the year 9999, as in DuckDB; not a header that begins a comment.
    check("a,b\ninf,1\n-nan,2\n", "a DOUBLE, b BIGINT", &["inf|1", "NaN|2"]);
    check("#a,b\n1,2\n", "#a BIGINT, b BIGINT", &["1|2"]);
}

#[test]
fn test_titles_are_left_out_only_before_a_sure_header() {
    check(
        "Report 2024\na,b,c\n1,2,3\n4,x,6\n",
        "a BIGINT, b VARCHAR, c BIGINT",
        &["1|2|3", "4|x|6"],
    );
    check(
        "Report, 2024\nby me\n\na;b\n1;2\n3;4\n5;6\n",
        "a BIGINT, b BIGINT",
        &["1|2", "3|4", "5|6"],
    );
    check("Titel\na;b\n1,5;2\n2,5;3\n", "a VARCHAR, b BIGINT", &["1,5|2", "2,5|3"]);
    // No delimiter splits most of the lines into as many fields: one column.
    check("hello\nworld, foo\nbar\nx,y,z\n", "hello VARCHAR", &["world, foo", "bar", "x,y,z"]);
    let unclear = [
        // Is it a title? The lines behind it are of one type, or begin with data.
        "name\nSmith, John\nDoe, Jane\n",
        "value\n1,5\n2,5\n3,5\n",
        "Report 2024\n1,2,3\n4,5,6\n7,8,9\n",
        // Do the records have a column without a name, or an empty end?
        "a,b\n1,2,\n3,4,\n",
        "a,b\n1,2,9\n3,4,8\n5,6,7\n",
        "a,b,\n1,2\n3,4\n",
        "a,b,c\n1,2\n3,4\n",
    ];
    for text in unclear {
        fails(
            text,
            &CsvOptions::default(),
            &["line 1 has", "line 2 has", "skip = 1", "names", "delim"],
        );
    }
    fails(
        "# one\n\na,b\n1,2,\n3,4,\n",
        &CsvOptions::default(),
        &["line 3 has 2 fields and line 4 has 3"],
    );
    // Options say what is meant.
    let options = CsvOptions { skip: 1, ..CsvOptions::default() };
    let (columns, rows) = table("Report\nx,y\nfoo,bar\nbaz,qux\n", &options).unwrap();
    assert_eq!(
        (columns.as_str(), rows),
        ("x VARCHAR, y VARCHAR", strings(&["foo|bar", "baz|qux"]))
    );
    let options = CsvOptions { delimiter: Some(";".into()), ..CsvOptions::default() };
    let (columns, rows) = table("name\nSmith, John\nDoe, Jane\n", &options).unwrap();
    assert_eq!((columns.as_str(), rows), ("name VARCHAR", strings(&["Smith, John", "Doe, Jane"])));
}

#[test]
fn test_options() {
    let of = |text: &str, change: &dyn Fn(&mut CsvOptions)| {
        let mut options = CsvOptions::default();
        change(&mut options);
        table(text, &options).map(|(columns, rows)| format!("{columns}: {}", rows.join(" ")))
    };
    let text = "a,b\n1,x\n2,y\n";
    let columns = |list: &[(&str, LogicalType)]| -> Vec<(String, LogicalType)> {
        list.iter().map(|(name, ty)| ((*name).to_owned(), ty.clone())).collect()
    };
    assert_eq!(of(text, &|o| o.all_varchar = true).unwrap(), "a VARCHAR, b VARCHAR: 1|x 2|y");
    assert_eq!(of(text, &|o| o.skip = 1).unwrap(), "column0 BIGINT, column1 VARCHAR: 1|x 2|y");
    assert_eq!(
        of(text, &|o| o.header = Some(false)).unwrap(),
        "column0 VARCHAR, column1 VARCHAR: a|b 1|x 2|y"
    );
    assert_eq!(of("1,2\n3,4\n", &|o| o.header = Some(true)).unwrap(), "1 BIGINT, 2 BIGINT: 3|4");
    assert_eq!(of(text, &|o| o.delimiter = Some(";".into())).unwrap(), "a,b VARCHAR: 1,x 2,y");
    assert_eq!(of(text, &|o| o.names = vec!["k".into()]).unwrap(), "k BIGINT, b VARCHAR: 1|x 2|y");
    let types = [("p", LogicalType::Int32), ("q", LogicalType::Text)];
    assert_eq!(
        of(text, &|o| o.types = CsvTypes::Columns(columns(&types))).unwrap(),
        "p INTEGER, q VARCHAR: 1|x 2|y"
    );
    let types = [("B", LogicalType::Text), ("a", LogicalType::UInt8)];
    assert_eq!(
        of(text, &|o| o.types = CsvTypes::Named(columns(&types))).unwrap(),
        "a UTINYINT, b VARCHAR: 1|x 2|y"
    );
    assert_eq!(
        of(text, &|o| o.types = CsvTypes::Positional(vec![LogicalType::Float32])).unwrap(),
        "a FLOAT, b VARCHAR: 1.0|x 2.0|y"
    );
    let na = "a,b\n1,x\n,\nNA,NA\n";
    assert_eq!(
        of(na, &|o| o.nulls = vec!["NA".into(), String::new()]).unwrap(),
        "a BIGINT, b VARCHAR: 1|x ~|~ ~|~"
    );
    assert_eq!(
        of(na, &|o| o.nulls = vec!["NA".into()]).unwrap(),
        "a VARCHAR, b VARCHAR: 1|x | ~|~"
    );
    let quoted = "a,b\n\"\",\"NA\"\n,NA\n\"1\",x\n";
    let bare = |o: &mut CsvOptions| (o.quoted_nulls, o.header) = (false, Some(true));
    assert_eq!(of(quoted, &bare).unwrap(), "a VARCHAR, b VARCHAR: |NA ~|NA 1|x");
    assert_eq!(of("a\n\n\"\"\n\n", &bare).unwrap(), "a VARCHAR: ~  ~");
    assert_eq!(
        of("a,b\n\"1,x\"\n", &|o| o.quote = Some(String::new())).unwrap(),
        "a VARCHAR, b VARCHAR: \"1|x\""
    );
    assert_eq!(
        of("a\n31/12/2024\n", &|o| o.date_format = Some("%d/%m/%Y".into())).unwrap(),
        "a DATE: 2024-12-31"
    );
    assert_eq!(
        of("a\n31/12/2024 10:11\n", &|o| o.timestamp_format = Some("%d/%m/%Y %H:%M".into()))
            .unwrap(),
        "a TIMESTAMP: 2024-12-31T10:11:00"
    );
    // The sample does not see the last line.
    assert_eq!(of("a\n1\n2\n3\n", &|o| o.sample_rows = 2).unwrap(), "a BIGINT: 1 2 3");
    assert!(of("a\n1\n2\nx\n", &|o| o.sample_rows = 2).is_err());
    for (part, change) in [
        ("delim", (|o: &mut CsvOptions| o.delimiter = Some("ab".into())) as fn(&mut CsvOptions)),
        ("delim", |o| o.delimiter = Some(String::new())),
        ("quote", |o| o.quote = Some("\u{e9}".into())),
        ("differ", |o| o.delimiter = Some("\"".into())),
        ("'z'", |o| o.types = CsvTypes::Named(vec![("z".into(), LogicalType::Text)])),
        ("3 types", |o| o.types = CsvTypes::Positional(vec![LogicalType::Text; 3])),
        ("columns", |o| o.types = CsvTypes::Columns(vec![("z".into(), LogicalType::Text)])),
        ("names", |o| o.names = vec!["x".into(); 3]),
        ("BLOB", |o| o.types = CsvTypes::Positional(vec![LogicalType::Blob])),
        ("%q", |o| o.date_format = Some("%q".into())),
    ] {
        let error = of(text, &change).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn test_types_convert_exactly_or_fail() {
    let value = |ty: LogicalType, text: &str| {
        let options = CsvOptions {
            types: CsvTypes::Columns(vec![("v".into(), ty)]),
            header: Some(false),
            ..CsvOptions::default()
        };
        table(format!("\"{text}\"\n"), &options).map(|(_, rows)| rows[0].clone())
    };
    use LogicalType as T;
    let decimal = |precision, scale| T::Decimal { precision, scale };
    let micros = TimeUnit::Microsecond;
    for (ty, text, expected) in [
        (T::Int8, "-128", "-128"),
        (T::UInt8, " 255 ", "255"),
        (T::Int64, "-9223372036854775808", "-9223372036854775808"),
        (T::Int64, "+007", "7"),
        (T::UInt64, "18446744073709551615", "18446744073709551615"),
        (T::Float64, "0.1", "0.1"),
        (T::Float64, "123456789012345.5", "123456789012345.5"),
        (T::Float64, "1e-320", "1e-320"),
        (T::Float64, "-.5", "-0.5"),
        (T::Float64, "-0", "-0.0"),
        (T::Float32, "16777217", "16777216.0"),
        (decimal(5, 2), "-1.555", "-1.56"),
        (decimal(18, 0), "999999999999999999", "999999999999999999"),
        (decimal(38, 2), "123456789012345678901234567890.12", "123456789012345678901234567890.12"),
        (T::Boolean, "yes", "true"),
        (T::Boolean, "0", "false"),
        (T::Date, "0001-01-01", "0001-01-01"),
        (T::Time(micros), "23:59:59.999999", "23:59:59.999999"),
        (T::Timestamp(micros, None), "2024-02-29", "2024-02-29T00:00:00"),
        (
            T::Timestamp(TimeUnit::Nanosecond, None),
            "2024-02-29 01:02:03.123456789",
            "2024-02-29T01:02:03.123456789",
        ),
        (
            T::Timestamp(micros, Some("UTC".into())),
            "2024-02-29 01:00:00+01:00",
            "2024-02-29T00:00:00Z",
        ),
        (T::Text, " kept ", " kept "),
        (T::Int32, "", "~"),
    ] {
        assert_eq!(value(ty.clone(), text).unwrap(), expected, "{ty} {text}");
    }
    for (ty, text) in [
        (T::Int8, "128"),
        (T::UInt8, "-1"),
        (T::Int64, "9223372036854775808"),
        (T::Int64, "1.5"),
        (T::Int64, "1 000"),
        (T::Int64, "-"),
        (T::Float64, "1e999"),
        (T::Float64, "1,5"),
        (T::Float64, "."),
        (decimal(5, 2), "1000"),
        (decimal(18, 0), "1e18"),
        (T::Boolean, "2"),
        (T::Date, "2023-02-29"),
        (T::Date, "2024-01-01 10:00:00"),
        (T::Time(micros), "24:00:00"),
        (T::Timestamp(micros, None), "2024-02-29 25:00:00"),
        (T::Timestamp(micros, None), "2024-02-29 01:00:00Z"),
        (T::Int32, " "),
    ] {
        let error = value(ty.clone(), text).unwrap_err().to_string();
        let parts =
            ["t.csv', line 1, column 'v'", &format!("\"{text}\""), &ty.to_string(), "all_varchar"];
        assert!(parts.iter().all(|part| error.contains(part)), "{ty} {text}: {error}");
    }
}

#[test]
fn test_errors_name_the_line() {
    let options = CsvOptions::default();
    fails("", &options, &["t.csv", "empty"]);
    fails("\u{feff}", &options, &["empty"]);
    fails("a,b\n1,2\n3\n4,5\n", &options, &["line 3 has 1 field ", "2"]);
    fails("a,b\n1,2\n\"3\n3\",4,5\n4,5\n1,1\n", &options, &["line 3 has 3 fields"]);
    fails("a,b\n\"x\"y,1\n", &options, &["line 2", "closing quote"]);
    fails("a,b\n1,2\n\"x,1\n2,3\n", &options, &["line 3", "never closed"]);
    fails(b"a,b\n1,2\n1,\xff\n", &options, &["line 3", "UTF-8"]);
    fails(b"a\xff,b\n1,2\n", &options, &["UTF-8"]);
    fails(b"\xff\xfea\0,\0b\0", &options, &["UTF-16"]);
    // In the second batch and behind quoted line ends, in small morsels.
    let mut text = String::from("n,t\n");
    (0..3000).for_each(|row| text.push_str(&format!("{row},\"a\nb\"\n")));
    let line = text.lines().count() + 1;
    text.push_str("x,y\n");
    let ground = Ground::new();
    let path = ground.write("t.csv", &text);
    let few = CsvOptions { sample_rows: 100, ..options };
    for morsel in [100, 5_000, 1 << 20] {
        let relation =
            CsvDataset::open_in_morsels(std::slice::from_ref(&path), &few, morsel).unwrap();
        let error = read(&relation).unwrap_err().to_string();
        assert!(error.contains(&format!("line {line}, column 'n': \"x\"")), "{error}");
    }
}

#[test]
fn test_long_records_are_refused_in_bounded_memory() {
    let options = CsvOptions::default();
    let mut text = String::from("a,b\n1,");
    text.push_str(&"x".repeat(super::MAX_RECORD + (1 << 20)));
    fails(&text, &options, &["line 2", "16 MiB"]);
    let mut text = String::from("a,b\n1,");
    text.push_str(&"x".repeat(super::MAX_RECORD - (1 << 20)));
    let (_, rows) = table(&text, &options).unwrap();
    assert_eq!(rows[0].len(), text.len() - "a,b\n".len());
    fails("x".repeat(super::MAX_RECORD + (1 << 20)), &options, &["line 1", "16 MiB"]);
}

#[test]
fn test_binary_garbage_is_an_error_or_text() {
    let mut random = Random(7);
    for _ in 0..200 {
        let bytes: Vec<u8> = (0..random.below(3000)).map(|_| random.below(256) as u8).collect();
        if let Err(error) = table(&bytes, &CsvOptions::default()) {
            assert!(!matches!(error, StorageError::Internal(_)), "{error}");
        }
        let bytes: Vec<u8> =
            (0..random.below(300)).map(|_| b"a,\"\n\r'\\# ;"[random.below(10)]).collect();
        if let Err(error) = table(&bytes, &CsvOptions::default()) {
            assert!(!matches!(error, StorageError::Internal(_)), "{error}");
        }
    }
}

/// Collects records as texts.
struct Collect<'a> {
    bytes: &'a [u8],
    dialect: Dialect,
    fields: Vec<Vec<u8>>,
    records: Vec<Vec<Vec<u8>>>,
}

impl Sink for Collect<'_> {
    fn field(&mut self, column: usize, span: Span) {
        let mut text = span.of(self.bytes).to_vec();
        if span.is_escaped() {
            unescape(span.of(self.bytes), &self.dialect, &mut text);
        }
        self.fields.truncate(column);
        self.fields.push(text);
    }

    fn record(&mut self, _start: usize, columns: usize, blank: bool) -> ControlFlow<()> {
        assert_eq!(columns, self.fields.len());
        if !blank {
            self.records.push(std::mem::take(&mut self.fields));
        }
        ControlFlow::Continue(())
    }
}

/// What csv-core makes of a text. It takes a lone carriage return for a line end, so there must be none.
fn oracle(text: &[u8], dialect: &Dialect) -> Vec<Vec<Vec<u8>>> {
    let mut builder = csv_core::ReaderBuilder::new();
    builder.delimiter(dialect.delimiter);
    if dialect.escape == Some(b'\\') {
        builder.escape(Some(b'\\')).double_quote(false);
    }
    let mut reader = builder.build();
    let text = if text.ends_with(b"\n") { text.to_vec() } else { [text, b"\n"].concat() };
    let (mut output, mut ends) = (vec![0; text.len() + 1], vec![0; text.len() + 1]);
    let (mut rest, mut records) = (&text[..], Vec::new());
    loop {
        let (result, read, _, count) = reader.read_record(rest, &mut output, &mut ends);
        rest = &rest[read..];
        match result {
            csv_core::ReadRecordResult::End => return records,
            csv_core::ReadRecordResult::Record => {
                let mut start = 0;
                let field = |&end: &usize| {
                    let field = output[start..end].to_vec();
                    start = end;
                    field
                };
                records.push(ends[..count].iter().map(field).collect());
            }
            // The next call hears that nothing follows.
            _ => assert!(rest.is_empty()),
        }
    }
}

/// A sound text: fields that are quoted where they must be, and sometimes where not.
fn random_text(random: &mut Random, dialect: &Dialect) -> Vec<u8> {
    let columns = 2 + random.below(3);
    let mut text = Vec::new();
    for _ in 0..random.below(12) {
        for column in 0..columns {
            if column > 0 {
                text.push(dialect.delimiter);
            }
            let quoted = random.below(3) == 0;
            if quoted {
                text.push(b'"');
            }
            let length = if random.below(4) == 0 { random.below(30) } else { random.below(4) };
            for place in 0..length {
                match random.below(8) {
                    0 if quoted => text.extend([dialect.escape.unwrap(), b'"']),
                    1 if quoted => text.extend_from_slice(b"\r\n"),
                    2 if quoted => text.push(dialect.delimiter),
                    3 if quoted => text.push(b'\n'),
                    4 if !quoted && place > 0 => text.push(b'"'),
                    5 => text.extend("\u{e9}".as_bytes()),
                    _ => text.push(b"abcxyz019"[random.below(9)]),
                }
            }
            if quoted {
                text.push(b'"');
            }
        }
        text.extend_from_slice(if random.below(3) == 0 { b"\r\n" } else { b"\n" });
        if random.below(10) == 0 {
            text.push(b'\n');
        }
    }
    if text.len() > 2 && random.below(4) == 0 {
        while text.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            text.pop();
        }
    }
    text
}

#[test]
fn test_split_agrees_with_csv_core_however_the_text_is_cut() {
    let mut random = Random(42);
    for round in 0..1500 {
        let escape = if round % 2 == 0 { b'"' } else { b'\\' };
        let delimiter = if round % 3 == 0 { b';' } else { b',' };
        let dialect = Dialect {
            delimiter,
            quote: Some(b'"'),
            escape: Some(escape),
            comment: None,
            line_end: b'\n',
        };
        let text = random_text(&mut random, &dialect);
        let new = |bytes| Collect { bytes, dialect, fields: Vec::new(), records: Vec::new() };
        let mut whole = new(&text[..]);
        let read = split(&text, 0, text.len(), true, &dialect, &mut whole).unwrap();
        assert_eq!(read, text.len());
        let expected = oracle(&text, &dialect);
        assert_eq!(whole.records, expected, "{:?}", String::from_utf8_lossy(&text));
        // The same in two buffers: what is left of the first comes again in front of the second.
        let cut = random.below(text.len() + 1);
        let mut first = new(&text[..cut]);
        let read = split(&text[..cut], 0, cut, false, &dialect, &mut first).unwrap();
        let mut second = new(&text[read..]);
        split(&text[read..], 0, text.len(), true, &dialect, &mut second).unwrap();
        first.records.append(&mut second.records);
        assert_eq!(first.records, expected, "{:?} cut at {cut}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn test_morsels_of_any_size_give_the_same_rows() {
    let ground = Ground::new();
    let mut random = Random(3);
    let dialect = Dialect {
        delimiter: b',',
        quote: Some(b'"'),
        escape: Some(b'"'),
        comment: None,
        line_end: b'\n',
    };
    let options = CsvOptions {
        delimiter: Some(",".into()),
        quote: Some("\"".into()),
        escape: Some("\"".into()),
        header: Some(false),
        all_varchar: true,
        ..CsvOptions::default()
    };
    let mut read_in_parts = 0;
    for round in 0..150 {
        let text = random_text(&mut random, &dialect);
        let path = [ground.write(&format!("{round}.csv"), &text)];
        let Ok(whole) = CsvDataset::open(&path, &options) else { continue };
        let expected = read(&whole).unwrap();
        for bytes in [1, 2, 3, 7, 16, 64] {
            let parts = CsvDataset::open_in_morsels(&path, &options, bytes).unwrap();
            assert_eq!(read(&parts).unwrap(), expected, "{:?}", String::from_utf8_lossy(&text));
            // From the back: the states are found by whoever comes first.
            let columns = (0..parts.schema().len()).collect();
            let scan = parts.scan(spec(&parts, columns, parts.ledger())).unwrap();
            let mut rows = 0;
            for morsel in (0..scan.morsels()).rev() {
                let mut morsel = scan.open(morsel).unwrap();
                while let Some(batch) = morsel.next().unwrap() {
                    rows += batch.rows;
                }
            }
            assert_eq!(rows, expected.len());
            read_in_parts += scan.morsels();
        }
        let plain = CsvOptions { quote: Some(String::new()), escape: None, ..options.clone() };
        let sound: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'"').collect();
        let path = [ground.write("plain.csv", &sound)];
        if let Ok(expected) = CsvDataset::open(&path, &plain).and_then(|all| read(&all)) {
            let parts = CsvDataset::open_in_morsels(&path, &plain, 5).unwrap();
            assert_eq!(read(&parts).unwrap(), expected);
        }
    }
    assert!(read_in_parts > 10_000, "{read_in_parts}");
}

#[test]
fn test_many_rows_and_small_vectors() {
    let mut text = String::from("n,t,f\n");
    let mut expected = Vec::new();
    for row in 0..30_000 {
        text.push_str(&format!("{row},name {row},{}.5\n", row % 100));
        expected.push(format!("{row}|name {row}|{}.5", row % 100));
    }
    let ground = Ground::new();
    let path = [ground.write("t.csv", &text)];
    for (morsel, vector_size) in [(1 << 22, 2048), (100_000, 7), (999, 1)] {
        let relation = CsvDataset::open_in_morsels(&path, &CsvOptions::default(), morsel).unwrap();
        let error = relation.rows().abs_diff(30_000);
        assert!(error < 1_000, "{}", relation.rows());
        let mut spec = spec(&relation, vec![0, 1, 2], relation.ledger());
        spec.vector_size = vector_size;
        assert_eq!(rows_of(&relation, spec).unwrap(), expected);
    }
}

/// Keeps the rows whose first given column is an even number.
struct Even(Vec<usize>);

impl RowFilter for Even {
    fn columns(&self) -> &[usize] {
        &self.0
    }

    fn local(&self) -> Result<Box<dyn LocalRowFilter>> {
        Ok(Box::new(LocalEven))
    }
}

struct LocalEven;

impl LocalRowFilter for LocalEven {
    fn select(&mut self, columns: &[Vector], rows: usize) -> Result<Option<Selection>> {
        let array = columns[0].flatten()?;
        let numbers = arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(&array);
        let kept = (0..rows).filter(|&row| numbers.is_valid(row) && numbers.value(row) % 2 == 0);
        Ok(Some(Selection::new(kept.map(|row| row as u32).collect())))
    }
}

#[test]
fn test_filters_convert_only_what_they_keep() {
    let text = "n,t,i\n1,a,10\n2,b,20\n3,\"c\"\"\",x\n,d,y\n4,\"e\"\"\",\n";
    let ground = Ground::new();
    let types = CsvTypes::Named(vec![("i".into(), LogicalType::Int64)]);
    let options = CsvOptions { types, ..CsvOptions::default() };
    let path = [ground.write("t.csv", text)];
    for bytes in [4, 1 << 20] {
        let relation = CsvDataset::open_in_morsels(&path, &options, bytes).unwrap();
        for vector_size in [1, 2, 2048] {
            let ledger = relation.ledger();
            let mut spec = spec(&relation, vec![2, 0, 2, 1], Arc::clone(&ledger));
            spec.filter = Some(Arc::new(Even(vec![0])));
            spec.vector_size = vector_size;
            assert_eq!(rows_of(&relation, spec).unwrap(), ["20|2|20|b", "~|4|~|e\""]);
            assert_eq!(ledger.touched(2, Level::Encoded), 2);
            assert_eq!(ledger.touched(1, Level::Encoded), 4);
        }
    }
    let relation = CsvDataset::open(&path, &options).unwrap();
    assert!(read(&relation).unwrap_err().to_string().contains("line 4, column 'i': \"x\""));
}

#[test]
fn test_ledger_is_what_was_asked_of_the_file() {
    let mut text = String::from("n,t\n");
    (0..5_000).for_each(|row| text.push_str(&format!("{row},text\n")));
    let ground = Ground::new();
    let path = [ground.write("t.csv", &text)];
    let options = CsvOptions { sample_rows: 2_000, ..CsvOptions::default() };
    let relation = CsvDataset::open(&path, &options).unwrap();
    let sniffed = relation.ledger();
    assert!(sniffed.footer_bytes() > 0);
    let ledger = relation.ledger();
    assert_eq!(ledger.footer_bytes(), 0);
    let rows = rows_of(&relation, spec(&relation, vec![1], Arc::clone(&ledger))).unwrap();
    assert_eq!(rows.len(), 5_000);
    assert_eq!(ledger.touched(0, Level::Encoded), 0);
    assert_eq!(ledger.touched(1, Level::Encoded), 20_000);
    let asked = (text.len() - 4) as u64;
    assert_eq!(ledger.footer_bytes() + 20_000, asked);
    assert!(ledger.stored(1).abs_diff(20_000) < 3_000, "{}", ledger.stored(1));
    // No column at all: only rows are counted.
    let scan = relation.scan(spec(&relation, vec![], relation.ledger())).unwrap();
    let mut morsel = scan.open(0).unwrap();
    let mut rows = 0;
    while let Some(batch) = morsel.next().unwrap() {
        rows += batch.rows;
    }
    assert_eq!(rows, 5_000);
}

#[test]
fn test_compressed_files() {
    let mut text = String::from("n,t\n");
    (0..50_000).for_each(|row| text.push_str(&format!("{row},\"te\nxt {}\"\n", row % 10)));
    let (_, expected) = table(&text, &CsvOptions::default()).unwrap();
    let ground = Ground::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let zst = zstd::encode_all(text.as_bytes(), 1).unwrap();
    for (name, bytes) in [("t.csv.gz", gzip), ("t.csv.zst", zst)] {
        let relation = open(&ground.write(name, &bytes), &CsvOptions::default()).unwrap();
        assert_eq!(read(&relation).unwrap(), expected);
        let cut = ground.write(&format!("cut.{name}"), &bytes[..bytes.len() - 20]);
        let wrong = open(&cut, &CsvOptions::default()).and_then(|relation| read(&relation));
        let wrong = wrong.unwrap_err();
        assert!(matches!(wrong, StorageError::Corrupt { .. }), "{wrong}");
        let garbage = ground.write(&format!("bad.{name}"), b"a,b\n1,2\n");
        assert!(open(&garbage, &CsvOptions::default()).is_err());
    }
    let both = [&b"a,b\n1,"[..], &b"2\n3,4"[..]].map(|part| {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(part).unwrap();
        gzip.finish().unwrap()
    });
    let relation = open(&ground.write("two.csv.gz", both.concat()), &CsvOptions::default());
    assert_eq!(read(&relation.unwrap()).unwrap(), ["1|2", "3|4"]);
}

#[test]
fn test_files_that_change_are_errors() {
    let ground = Ground::new();
    let mut text = String::from("n,t\n");
    (0..200_000).for_each(|row| text.push_str(&format!("{row},text\n")));
    let path = ground.write("t.csv", &text);
    let relation = open(&path, &CsvOptions::default()).unwrap();
    let scan = relation.scan(spec(&relation, vec![0], relation.ledger())).unwrap();
    let mut morsel = scan.open(0).unwrap();
    assert!(morsel.next().unwrap().is_some());
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(300_000).unwrap();
    let error = loop {
        match morsel.next() {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the file was cut and nobody noticed"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StorageError::Io { .. }), "{error}");
    assert!(morsel.next().unwrap().is_none());
    let error = read(&relation).unwrap_err().to_string();
    assert!(error.contains("changed"), "{error}");
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(read(&relation).unwrap_err(), StorageError::Io { .. }));
}

#[test]
fn test_many_files() {
    let ground = Ground::new();
    let root = ground.0.path().display().to_string();
    ground.write("k=1/a.csv", "a,b\n1,x\n");
    ground.write("k=2/b.csv", "b,a\nz,2.5\n");
    ground.write("k=2/empty.csv", "");
    let all = [format!("{root}/k=*/*.csv")];
    let options = CsvOptions { filename: true, ..CsvOptions::default() };
    let relation = CsvDataset::open(&all, &options).unwrap();
    let columns: Vec<_> = relation.schema().columns.iter().map(|c| c.ty.to_string()).collect();
    assert_eq!(columns, ["DOUBLE", "VARCHAR", "BIGINT", "VARCHAR"]);
    let rows = read(&relation).unwrap();
    assert_eq!(rows, [format!("1.0|x|1|{root}/k=1/a.csv"), format!("2.5|z|2|{root}/k=2/b.csv")]);
    assert_eq!(relation.column_range(2).max, Some(crate::Scalar::int64(2)));
    let mut pruned = spec(&relation, vec![0], relation.ledger());
    pruned.prune = Some(crate::Prune::Compare {
        column: 2,
        op: crate::PruneOp::Eq,
        value: crate::Scalar::int64(2),
    });
    assert_eq!(rows_of(&relation, pruned).unwrap(), ["2.5"]);
    ground.write("k=3/c.csv", "a,c\n7,w\n");
    let error = CsvDataset::open(&all, &options).unwrap_err().to_string();
    assert!(error.contains("c.csv") && error.contains("union_by_name"), "{error}");
    let union =
        CsvOptions { union_by_name: true, hive_partitioning: Some(false), ..CsvOptions::default() };
    let relation = CsvDataset::open(&all, &union).unwrap();
    assert_eq!(read(&relation).unwrap(), ["1.0|x|~", "2.5|z|~", "7.0|~|w"]);
    let folder = CsvDataset::open(&[root], &union).unwrap();
    assert_eq!(read(&folder).unwrap(), read(&relation).unwrap());
}
