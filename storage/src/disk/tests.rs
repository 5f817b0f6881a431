//! Saved databases: every encoding of every type comes back bit by bit; what is damaged, missing or somebody else's is
//! named; nothing is read before it is needed and nothing is written that is there already.

mod changes;
mod damage;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::*, buffer::ScalarBuffer, compute, datatypes::*, ipc::reader::FileReader,
    util::display::array_value_to_string,
};

use super::{physical::Parts, *};
use crate::{
    BLOCK_ROWS, ColumnDef, Encoding, Entry, LogicalType, Relation, Scalar, Schema, StorageError,
    catalog::{
        Catalog, IfExists, Macro, View,
        name::{entry_name, is_temporary, temporary_schema},
    },
    index::Serial,
    table::{
        CheckRule, Column, IndexDefinition, IndexInclude, IndexKey, IndexKind, KeyRule, Segment,
        TableRules, TableVersion,
        tests::{Random, collect, every_type, spec},
    },
    vector::DictionaryValues,
};

/// A column of every encoding of every type, named after both.
fn every_encoding(rows: usize, seed: u64) -> Vec<(String, LogicalType, Encoding)> {
    let mut all = vec![];
    let mut random = Random(seed);
    for (name, array) in every_type(rows, seed) {
        let ty = LogicalType::from_arrow(array.data_type()).unwrap();
        let mut push =
            |kind: &str, encoding| all.push((format!("{name} {kind}"), ty.clone(), encoding));
        push("plain", Encoding::Plain(Arc::clone(&array)));
        if matches!(ty, LogicalType::Text | LogicalType::Blob) {
            push("view", Encoding::View(Arc::clone(&array)));
            push("sliced view", Encoding::View(array.slice(0, rows)));
        }
        let value = (0..rows).find(|&row| array.is_valid(row)).unwrap();
        let value = Scalar::from_array(array.as_ref(), value).unwrap();
        push("constant", Encoding::Constant(value));
        push("constant NULL", Encoding::Constant(Scalar::null(ty.clone())));
        let cuts = (0..rows as u32 - 1).filter(|_| random.below(3) == 0);
        let ends: Vec<u32> = cuts.map(|row| row + 1).chain([rows as u32]).collect();
        let values = array.slice(0, ends.len());
        push("run-end", Encoding::RunEnd { ends: ScalarBuffer::from(ends), values });
        let valid = compute::is_not_null(&array).unwrap();
        let entries = compute::filter(&array, &valid).unwrap();
        let mut codes = |width: &DataType| {
            let limit = entries.len().min(120);
            let code = |_| (random.below(5) > 0).then(|| random.below(limit) as u32);
            let codes: UInt32Array = (0..rows).map(code).collect();
            compute::cast(&codes, width).unwrap()
        };
        for width in [DataType::UInt8, DataType::UInt16, DataType::UInt32] {
            if ty != LogicalType::Null {
                let codes = codes(&width);
                let values = Arc::new(DictionaryValues::new(Arc::clone(&entries)));
                push(&format!("dictionary {width}"), Encoding::Dictionary { codes, values });
            }
        }
        let narrow = ty.is_integer()
            || matches!(
                ty,
                LogicalType::Date
                    | LogicalType::Time(_)
                    | LogicalType::Timestamp(..)
                    | LogicalType::Duration(_)
                    | LogicalType::Decimal { precision: ..=18, .. }
            );
        for width in [DataType::UInt8, DataType::UInt16, DataType::UInt32, DataType::Int64] {
            let base = if width == DataType::Int64 { 0 } else { 3 };
            if narrow {
                let offsets = codes(&width);
                push(&format!("narrow {width}"), Encoding::Narrow { base, offsets });
            }
        }
    }
    all
}

fn table_of(columns: &[(String, LogicalType, Encoding)], rows: usize) -> TableVersion {
    let defs = columns.iter().map(|(name, ty, _)| ColumnDef::new(name, ty.clone())).collect();
    TableVersion::new(Arc::new(Schema::new(defs)), &[segment_of(columns, rows)]).unwrap()
}

fn segment_of(columns: &[(String, LogicalType, Encoding)], rows: usize) -> Arc<Segment> {
    let column = |(_, ty, encoding): &(String, LogicalType, Encoding)| {
        Column::new(ty.clone(), rows, encoding.clone())
    };
    Arc::new(Segment::new(rows, columns.iter().map(column).collect()))
}

/// A plain table of 64-bit integers.
fn ints(name: &str, from: i64, rows: usize) -> (String, LogicalType, Encoding) {
    let values = Int64Array::from_iter_values(from..from + rows as i64);
    (name.into(), LogicalType::Int64, Encoding::Plain(Arc::new(values)))
}

fn catalog_of(tables: Vec<(&str, TableVersion)>) -> Arc<Catalog> {
    let catalog = Catalog::new();
    let mut transaction = catalog.begin();
    for (name, table) in tables {
        transaction.create_table(name, table, IfExists::Fail).unwrap();
    }
    transaction.commit().unwrap();
    catalog
}

/// The catalog of an opened folder.
fn reopened(path: &Path) -> Result<Arc<Catalog>, StorageError> {
    let catalog = Catalog::new();
    let mut transaction = catalog.begin();
    for (name, entry) in open(path)?.entries {
        transaction.create(&name, entry, IfExists::Fail)?;
    }
    transaction.commit()?;
    Ok(catalog)
}

fn opened_table(catalog: &Arc<Catalog>, name: &str) -> Arc<TableVersion> {
    Arc::clone(catalog.snapshot().table(name).unwrap())
}

fn range(table: &TableVersion, column: usize) -> String {
    format!("{:?}", table.column_range(column))
}

/// The buffers of an encoding's arrays, byte by byte, with its parameters.
fn bits(encoding: &Encoding) -> (String, Vec<Vec<u8>>) {
    let (about, arrays): (String, Vec<ArrayRef>) = match encoding {
        Encoding::Constant(value) => (value.ty().to_string(), vec![Arc::clone(value.array())]),
        Encoding::Plain(values) | Encoding::View(values) => (String::new(), vec![values.clone()]),
        Encoding::Narrow { base, offsets } => (base.to_string(), vec![Arc::clone(offsets)]),
        Encoding::Dictionary { codes, values } => {
            (String::new(), vec![Arc::clone(codes), Arc::clone(values.values())])
        }
        Encoding::RunEnd { ends, values } => {
            let ends = UInt32Array::new(ends.clone(), None);
            (String::new(), vec![Arc::new(ends), Arc::clone(values)])
        }
    };
    let mut buffers = vec![];
    let mut about = format!("{} {about}", encoding.name());
    for array in arrays {
        let parts = Parts::of(&array).unwrap();
        about += &format!(" {} {:?} {:?}", array.data_type(), parts.nodes, parts.variadic);
        // Bits behind the last row mean nothing.
        buffers.extend(parts.buffers.iter().map(|buffer| buffer.to_vec()));
    }
    (about, buffers)
}

fn files(path: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some()).collect();
    files.sort();
    files
}

#[test]
fn test_every_encoding_of_every_type_comes_back_bit_by_bit() {
    for rows in [1, 100, 3000] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let seed = if rows == 1 { 12 } else { 11 };
        let columns: Vec<_> =
            if rows == 1 { vec![ints("one", 7, 1)] } else { every_encoding(rows, seed) };
        let before = table_of(&columns, rows);
        let catalog = catalog_of(vec![("Every", before.clone())]);
        let saved = save(&catalog.snapshot(), &path, Replace::Any).unwrap();
        assert_eq!((saved.tables, saved.files_written, saved.files_kept), (1, 1, 0));
        let again = reopened(&path).unwrap();
        assert_eq!(again.snapshot().declared_name("every"), Some("Every"));
        let after = opened_table(&again, "every");
        assert_eq!(after.schema(), before.schema());
        assert_eq!((after.rows(), after.positions()), (before.rows(), before.positions()));
        let [part] = &after.parts().collect::<Vec<_>>()[..] else { panic!("one part") };
        let segment = before.parts().next().unwrap().segment.clone();
        for (i, (name, ty, encoding)) in columns.iter().enumerate() {
            let (was, is) = (&segment.columns()[i], &part.segment.columns()[i]);
            assert_eq!((is.ty(), is.bytes()), (ty, was.bytes()), "{name}");
            assert_eq!(is.encoding_label(), was.encoding_label(), "{name}");
            assert_eq!(is.plain_bytes(), was.plain_bytes(), "{name}");
            assert_eq!(is.dictionary_bytes(), was.dictionary_bytes(), "{name}");
            assert_eq!(range(&before, i), range(&after, i), "{name}");
            assert_eq!(before.distinct(i), after.distinct(i), "{name}");
            assert_eq!(bits(is.encoding().unwrap()), bits(encoding), "{name}");
            let statistics = |column: &Column| format!("{:?}", column.statistics());
            assert_eq!(statistics(is), statistics(was), "{name}");
        }
        let all: Vec<_> = (0..columns.len()).collect();
        let read = |table: &TableVersion| collect(table, spec(table, all.clone(), 2048)).0;
        assert!(read(&before) == read(&after), "{rows} rows read otherwise");
    }
}

#[test]
fn test_any_arrow_reader_opens_the_files() {
    let folder = tempfile::tempdir().unwrap();
    let rows = 500;
    let columns = every_encoding(rows, 3);
    let catalog = catalog_of(vec![("t", table_of(&columns, rows))]);
    save(&catalog.snapshot(), &folder.path().join("db"), Replace::Any).unwrap();
    let [file] = &files(&folder.path().join("db"))[..] else { panic!("one file") };
    let mut reader = FileReader::try_new(File::open(file).unwrap(), None).unwrap();
    let batch = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    let table = opened_table(&catalog, "t");
    let part = table.parts().next().unwrap();
    for (i, (name, ty, encoding)) in columns.iter().enumerate() {
        let (array, field) = (batch.column(i), batch.schema().field(i).clone());
        assert_eq!(field.name(), name);
        let want = part.segment.columns()[i].read(0..rows).unwrap().flatten().unwrap();
        let array = match (encoding, array.data_type()) {
            (Encoding::Narrow { base, .. }, _) => {
                assert_eq!(field.metadata()["stoadb.base"], base.to_string());
                assert_eq!(field.metadata()["stoadb.type"], ty.to_string());
                continue;
            }
            (_, DataType::Dictionary(..)) => {
                let dictionary = array.as_any_dictionary();
                compute::take(dictionary.values(), dictionary.keys(), None).unwrap()
            }
            (_, DataType::RunEndEncoded(..)) => {
                let runs = array.as_any().downcast_ref::<RunArray<Int32Type>>().unwrap();
                let at = |row| runs.get_physical_index(row) as u32;
                let rows: UInt32Array = (0..rows).map(at).map(Some).collect();
                compute::take(runs.values(), &rows, None).unwrap()
            }
            _ => Arc::clone(array),
        };
        assert_eq!(array.to_data(), want.to_data(), "{name}");
    }
}

/// Tables of several segments, deletes, a tail, a view; one column of every kind.
fn sample() -> Arc<Catalog> {
    let rows = 1000;
    let wanted = ["i64 plain", "f64 run-end", "text view", "few dictionary UInt8", "date constant"];
    let mut columns = every_encoding(rows, 5);
    columns.retain(|(name, ..)| wanted.contains(&name.as_str()) || name == "i32 narrow UInt8");
    let t = table_of(&columns, rows);
    let large = table_of(&[ints("id", 0, BLOCK_ROWS)], BLOCK_ROWS);
    let large = large.append(&[segment_of(&[ints("id", -9, 9)], 9)]).unwrap();
    let large = large.without(&[0, 1, 2, 77, BLOCK_ROWS as u64 + 3]).unwrap();
    let catalog = catalog_of(vec![("t", t), ("Large", large)]);
    let mut transaction = catalog.begin();
    let view = View { sql: "SELECT * FROM t".into() };
    transaction.create_view("v", view, IfExists::Fail).unwrap();
    transaction.create_schema("s", IfExists::Fail).unwrap();
    let text = Macro { sql: "CREATE MACRO f(x) AS x + 1".into() };
    transaction.create_macro("s", "f", text, IfExists::Fail).unwrap();
    let key = |columns, primary| KeyRule { name: None, columns, primary };
    let rules = TableRules {
        defaults: [(0, "1 + 1".into())].into(),
        checks: vec![CheckRule { name: Some("positive".into()), sql: "id > 0".into() }],
        keys: vec![key(vec![0], true), key(vec![1, 0], false)],
        indexes: vec![IndexDefinition {
            name: Some("by_x".into()),
            kind: IndexKind::Plain,
            keys: vec![IndexKey { column: 1, descending: true }],
            includes: vec![IndexInclude { column: 0, quantiles: true }],
        }],
    };
    let ruled = table_of(&[ints("id", 0, 3), ints("x", 5, 3)], 3);
    let ruled = ruled.with_rules(Arc::new(rules), &Serial);
    transaction.create_table("s\u{1f}ruled", ruled.unwrap(), IfExists::Fail).unwrap();
    let own = table_of(&[ints("id", 0, 3)], 3);
    let temporary = entry_name(&temporary_schema(1), "own");
    transaction.create_table(&temporary, own, IfExists::Fail).unwrap();
    transaction.commit().unwrap();
    catalog
}

/// All rows of all tables and all views, as text; the first error otherwise.
fn contents(catalog: &Arc<Catalog>) -> Result<Vec<String>, StorageError> {
    let mut lines = vec![];
    for (name, entry) in catalog.snapshot().all_entries() {
        if is_temporary(name) {
            continue;
        }
        let table = match entry {
            Entry::Table(table) => table,
            other => {
                lines.push(format!("{name} {other:?}"));
                continue;
            }
        };
        lines.push(format!("{name} {:?} {} {:?}", table.schema(), table.rows(), table.rules()));
        for part in table.parts() {
            let columns = part.segment.columns().iter();
            let columns = columns.map(|column| column.read(0..part.segment.rows())?.flatten());
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            for row in 0..part.segment.rows() {
                if part.deletes.as_ref().is_none_or(|mask| !mask.is_deleted(row)) {
                    let cell = |column: &ArrayRef| array_value_to_string(column, row).unwrap();
                    lines.push(columns.iter().map(cell).collect::<Vec<_>>().join("|"));
                }
            }
        }
    }
    Ok(lines)
}
