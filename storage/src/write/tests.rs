//! Files that are written are read back by the readers of this crate, or compared byte by byte.

use std::sync::Arc;

use ::arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringViewArray},
    datatypes::SchemaRef,
};

use super::*;

struct Serial(usize);

impl Jobs for Serial {
    type Error = StorageError;

    fn run(&self, jobs: usize, job: &(dyn Fn(usize) -> Result<()> + Sync)) -> Result<()> {
        // Backwards: what comes out must not depend on the order in which jobs run.
        (0..jobs).rev().try_for_each(job)
    }

    fn width(&self) -> usize {
        self.0
    }
}

fn batch(from: i64, rows: usize) -> RecordBatch {
    let ids: Vec<i64> = (from..from + rows as i64).collect();
    let texts = ids.iter().map(|id| (id % 7 != 0).then(|| format!("text, \"{}\"", id % 100)));
    let texts: StringViewArray = texts.collect();
    let ids: ArrayRef = Arc::new(Int64Array::from(ids));
    RecordBatch::try_from_iter([("id", ids), ("text", Arc::new(texts) as ArrayRef)]).unwrap()
}

fn texts_of(batch: &RecordBatch) -> RecordBatch {
    let ids = ::arrow::compute::cast(batch.column(0), &DataType::Utf8View).unwrap();
    RecordBatch::try_from_iter([("id", ids), ("text", batch.column(1).clone())]).unwrap()
}

fn write(path: &str, style: &FileStyle, width: usize, rows: usize) -> Vec<u8> {
    let convert = |batch: RecordBatch| match style {
        FileStyle::Csv(..) => texts_of(&batch),
        _ => batch,
    };
    let schema: SchemaRef = convert(batch(0, 0)).schema();
    let mut file = FileWriter::create(path, &schema, style).unwrap();
    let jobs = Serial(width);
    let mut done = 0;
    for size in [1, 2048, 0, 777].iter().cycle() {
        if done == rows {
            break;
        }
        let size = (*size).min(rows - done);
        file.write(convert(batch(done as i64, size)), &jobs).unwrap();
        done += size;
    }
    assert_eq!(file.finish(&jobs).unwrap(), rows as u64);
    std::fs::read(path).unwrap()
}

fn styles() -> Vec<(&'static str, FileStyle)> {
    let parquet = ParquetStyle { rows: 10_000, ..ParquetStyle::default() };
    vec![
        ("parquet", FileStyle::Parquet(parquet)),
        ("csv", FileStyle::Csv(CsvStyle::default(), TextCompression::None)),
        ("csv.gz", FileStyle::Csv(CsvStyle::default(), TextCompression::Gzip(1))),
        ("json", FileStyle::Json { array: true, compression: TextCompression::None }),
        ("jsonl", FileStyle::Json { array: false, compression: TextCompression::Zstd(1) }),
        ("arrow", FileStyle::Arrow { stream: false, rows: 10_000 }),
    ]
}

#[test]
fn test_files_do_not_depend_on_workers() {
    let folder = tempfile::tempdir().unwrap();
    for (extension, style) in styles() {
        let path = folder.path().join(format!("f.{extension}"));
        let path = path.to_str().unwrap();
        let mut all: Vec<Vec<u8>> = Vec::new();
        for width in [1, 3, 16] {
            all.push(write(path, &style, width, 100_000));
        }
        assert!(all.iter().all(|bytes| *bytes == all[0]), "{extension}");
        // Nothing else is left in the folder.
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{extension}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn test_files_without_rows() {
    let folder = tempfile::tempdir().unwrap();
    for (extension, style) in styles() {
        let path = folder.path().join(format!("f.{extension}"));
        let bytes = write(path.to_str().unwrap(), &style, 2, 0);
        match extension {
            "csv" => assert_eq!(bytes, b"id,text\n"),
            "json" => assert_eq!(bytes, b"[\n]\n"),
            "jsonl" => assert!(zstd::decode_all(&bytes[..]).unwrap().is_empty()),
            _ => assert!(!bytes.is_empty()),
        }
    }
}

#[test]
fn test_a_writer_that_fails_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    for (extension, style) in styles() {
        let path = folder.path().join(format!("f.{extension}"));
        let path = path.to_str().unwrap();
        std::fs::write(path, "old").unwrap();
        let schema = match &style {
            FileStyle::Csv(..) => texts_of(&batch(0, 1)).schema(),
            _ => batch(0, 1).schema(),
        };
        let file = FileWriter::create(path, &schema, &style).unwrap();
        drop(file);
        assert_eq!(std::fs::read(path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::remove_file(path).unwrap();
    }
    let missing = folder.path().join("none/f.csv");
    let style = FileStyle::Arrow { stream: true, rows: 1 };
    assert!(FileWriter::create(missing.to_str().unwrap(), &batch(0, 1).schema(), &style).is_err());
}

#[test]
fn test_csv_quotes_what_reads_as_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.csv");
    let values = ["a", "", "x,y", "q\"q", "two\nlines", "cr\r", "NA", " blank ", "#c", "\u{e9}"];
    let texts: ArrayRef =
        Arc::new(StringViewArray::from_iter(values.iter().map(|value| Some(*value)).chain([None])));
    let batch = RecordBatch::try_from_iter([("a,b", texts)]).unwrap();
    let style = CsvStyle { null: "NA".into(), ..CsvStyle::default() };
    let style = FileStyle::Csv(style, TextCompression::None);
    let mut file = FileWriter::create(path.to_str().unwrap(), &batch.schema(), &style).unwrap();
    file.write(batch, &Serial(1)).unwrap();
    file.finish(&Serial(1)).unwrap();
    let wanted = "\"a,b\"\na\n\"\"\n\"x,y\"\n\"q\"\"q\"\n\"two\nlines\"\n\"cr\r\"\n\"NA\"\n blank \n\"#c\"\n\u{e9}\nNA\n";
    assert_eq!(std::fs::read_to_string(path).unwrap(), wanted);
}
