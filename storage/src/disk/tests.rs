//! Saved databases: every encoding of every type comes back bit by bit; what is damaged, missing or somebody else's is
//! named; nothing is read before it is needed and nothing is written that is there already.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::*, buffer::ScalarBuffer, compute, datatypes::*, ipc::reader::FileReader,
    util::display::array_value_to_string,
};

use super::{
    folder::Folder,
    layout::{ArrayLayout, Entries, Layout, Span, Width},
    manifest::{DictionaryEntry, Manifest, SegmentEntry},
    physical::Parts,
    *,
};
use crate::{
    BLOCK_ROWS, ColumnDef, Encoding, Entry, LogicalType, Relation, Scalar, Schema, StorageError,
    catalog::{Catalog, IfExists, View},
    table::{
        BatchTable, Column, RowId, Segment, TableVersion,
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
        match entry {
            Entry::Table(table) => {
                transaction.create_table(&name, table.as_ref().clone(), IfExists::Fail)?
            }
            Entry::View(view) => {
                transaction.create_view(&name, view.as_ref().clone(), IfExists::Fail)?
            }
            Entry::External(_) => unreachable!(),
        };
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
        let saved = save(&catalog.snapshot(), &path, None).unwrap();
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
    save(&catalog.snapshot(), &folder.path().join("db"), None).unwrap();
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
    let view = View { sql: "SELECT * FROM t".into(), columns: vec!["x".into()] };
    transaction.create_view("v", view, IfExists::Fail).unwrap();
    transaction.commit().unwrap();
    catalog
}

/// All rows of all tables and all views, as text; the first error otherwise.
fn contents(catalog: &Arc<Catalog>) -> Result<Vec<String>, StorageError> {
    let mut lines = vec![];
    for (name, entry) in catalog.snapshot().entries() {
        let table = match entry {
            Entry::Table(table) => table,
            other => {
                lines.push(format!("{name} {other:?}"));
                continue;
            }
        };
        lines.push(format!("{name} {:?} {}", table.schema(), table.rows()));
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

/// Every buffer of the folder's files, with the columns that use it.
fn spans(path: &Path) -> BTreeMap<(PathBuf, u64, u64), String> {
    let folder = Folder::at(path);
    let manifest = folder.manifest().unwrap().unwrap();
    let mut all = BTreeMap::new();
    let mut put = |number, layout: &ArrayLayout, column: &str| {
        for span in &layout.spans {
            all.insert((folder.file(number), span.offset, span.len), column.to_owned());
        }
    };
    for table in &manifest.tables {
        for part in &table.parts {
            let entry = SegmentEntry::read(manifest.segments[&part.segment].clone()).unwrap();
            for (column, def) in entry.columns.iter().zip(&table.schema.columns) {
                match &column.layout {
                    Layout::Constant(array) | Layout::Plain(array) | Layout::View(array) => {
                        put(part.segment, array, &def.name);
                    }
                    Layout::Narrow { offsets, .. } => put(part.segment, offsets, &def.name),
                    Layout::RunEnd { ends, values } => {
                        put(part.segment, ends, &def.name);
                        put(part.segment, values, &def.name);
                    }
                    Layout::Dictionary { codes, entries, .. } => {
                        put(part.segment, codes, &def.name);
                        match entries {
                            Entries::Own(values) => put(part.segment, values, &def.name),
                            Entries::Shared(number) => {
                                let entry = manifest.dictionaries[number].clone();
                                let entry = DictionaryEntry::read(entry).unwrap();
                                put(*number, &entry.values, &def.name);
                            }
                        }
                    }
                }
            }
        }
    }
    all
}

fn flip(file: &Path, at: u64, mask: u8) {
    use std::io::{Read, Seek, SeekFrom, Write};
    let mut file = File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ mask]).unwrap();
}

#[test]
fn test_a_flipped_byte_is_an_error_that_names_file_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let catalog = sample();
    save(&catalog.snapshot(), &path, None).unwrap();
    let want = contents(&catalog).unwrap();
    assert_eq!(contents(&reopened(&path).unwrap()).unwrap(), want);
    let spans = spans(&path);
    let mut targets = files(&path);
    targets.push(path.join("manifest"));
    let mut random = Random(1);
    let (mut harmless, mut found) = (0, 0);
    for n in 0..400 {
        let file = &targets[n % targets.len()];
        let at = random.below(fs::metadata(file).unwrap().len() as usize) as u64;
        let mask = 1 << random.below(8);
        flip(file, at, mask);
        let result = reopened(&path).and_then(|catalog| contents(&catalog));
        flip(file, at, mask);
        let hit = spans
            .iter()
            .find(|((path, offset, len), _)| path == file && (*offset..offset + len).contains(&at));
        let name = file.file_name().unwrap().to_str().unwrap();
        match (hit, result) {
            (None, Ok(got)) if name != "manifest" => {
                assert_eq!(got, want, "{name} at {at}");
                harmless += 1;
            }
            (Some((_, column)), Err(error @ StorageError::Corrupt { .. })) => {
                let message = error.to_string();
                let named = format!("column '{column}'");
                assert!(message.contains(&named) && message.contains(name), "{message}");
                assert!(message.contains("checksum"), "{message}");
                found += 1;
            }
            (None, Err(error)) if name == "manifest" => {
                assert!(error.to_string().contains("manifest"), "{error}");
                found += 1;
            }
            (hit, result) => panic!("{name} at {at}, in {hit:?}: {:?}", result.map(|_| ())),
        }
    }
    assert!(harmless > 20 && found > 200, "{harmless} harmless, {found} found");
    assert_eq!(contents(&reopened(&path).unwrap()).unwrap(), want);
}

#[test]
fn test_a_query_reads_its_own_columns_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let rows = 200;
    let columns = every_encoding(rows, 8);
    let before = table_of(&columns, rows);
    save(&catalog_of(vec![("t", before.clone())]).snapshot(), &path, None).unwrap();
    let spans = spans(&path);
    // Every byte of every column is made wrong, those of one column are put right again.
    let file = &files(&path)[0];
    let sound = fs::read(file).unwrap();
    for (i, (name, ..)) in columns.iter().enumerate() {
        let mut damaged = sound.clone();
        for ((_, offset, len), column) in &spans {
            if column != name {
                let range = *offset as usize..(offset + len) as usize;
                damaged[range].iter_mut().for_each(|byte| *byte ^= 0xa5);
            }
        }
        fs::write(file, &damaged).unwrap();
        let catalog = reopened(&path).unwrap();
        let after = opened_table(&catalog, "t");
        // Statistics are in the manifest.
        for j in 0..columns.len() {
            assert_eq!(range(&before, j), range(&after, j));
            assert_eq!(before.distinct(j), after.distinct(j));
        }
        let read = |table: &TableVersion| collect(table, spec(table, vec![i], 2048)).0;
        let (got, want) = (read(&after), read(&before));
        assert!(got == want, "{name}");
        let other = (i + 1) % columns.len();
        if spans.iter().any(|((.., len), column)| *column == columns[other].0 && *len > 0) {
            let part = after.parts().next().unwrap();
            let error = part.segment.columns()[other].read(0..rows).unwrap_err().to_string();
            assert!(error.contains(&columns[other].0), "{error}");
        }
    }
}

#[test]
fn test_a_small_change_writes_little_and_readers_keep_what_they_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let catalog = sample();
    let first = save(&catalog.snapshot(), &path, None).unwrap();
    assert_eq!((first.tables, first.views, first.files_kept), (2, 1, 0));
    let old_files = files(&path);
    assert_eq!(old_files.len(), first.files_written);
    let reader = reopened(&path).unwrap();
    let want = contents(&catalog).unwrap();

    // Nothing changed: nothing but the manifest is written, neither by who saved nor by who opened.
    let opened = reopened(&path).unwrap();
    for catalog in [&catalog, &opened] {
        let again = save(&catalog.snapshot(), &path, None).unwrap();
        assert_eq!((again.files_written, again.files_kept), (0, old_files.len()));
        assert!(again.id != first.id);
        assert_eq!(files(&path), old_files);
    }

    // A delete changes the manifest alone.
    let mut transaction = opened.begin();
    transaction.delete_rows("large", &[RowId { segment: 0, row: 500 }]).unwrap();
    transaction.commit().unwrap();
    assert_eq!(save(&opened.snapshot(), &path, None).unwrap().files_written, 0);
    assert_eq!(opened_table(&reopened(&path).unwrap(), "large").rows(), BLOCK_ROWS as u64 + 3);

    // Appended rows are a file of their own.
    let mut transaction = opened.begin();
    transaction.append("large", vec![segment_of(&[ints("id", 5, 3)], 3)]).unwrap();
    transaction.commit().unwrap();
    let saved = save(&opened.snapshot(), &path, None).unwrap();
    assert_eq!(saved.files_written, 1);
    assert!(saved.bytes_written < 32_000, "{}", saved.bytes_written);
    let now = contents(&opened).unwrap();
    assert_eq!(contents(&reopened(&path).unwrap()).unwrap(), now);

    // A dropped table's files go; who opened before still reads them.
    let mut transaction = opened.begin();
    transaction.drop_entry("t", crate::EntryKind::Table, false).unwrap();
    transaction.commit().unwrap();
    fs::write(path.join("0123456789abcdef.arrow"), b"left by a save that was killed").unwrap();
    fs::write(path.join("manifest.new"), b"likewise").unwrap();
    fs::write(path.join("notes.txt"), b"somebody else's").unwrap();
    save(&opened.snapshot(), &path, None).unwrap();
    let mut names: Vec<_> =
        files(&path).into_iter().filter(|path| !old_files.contains(path)).collect();
    names.retain(|path| path.extension().unwrap() != "arrow");
    assert_eq!(names, [path.join("notes.txt")]);
    assert!(files(&path).len() < old_files.len() + 2);
    assert_eq!(contents(&reader).unwrap(), want);
    // And may save it elsewhere.
    let copy = folder.path().join("copy");
    assert_eq!(save(&reader.snapshot(), &copy, None).unwrap().files_written, old_files.len());
    assert_eq!(contents(&reopened(&copy).unwrap()).unwrap(), want);
}

#[test]
fn test_a_missing_file_is_written_again_by_who_has_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let catalog = sample();
    let files_written = save(&catalog.snapshot(), &path, None).unwrap().files_written;
    let opened = reopened(&path).unwrap();
    let [one, other, ..] = &files(&path)[..] else { panic!("two files") };
    fs::remove_file(one).unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains(one.file_name().unwrap().to_str().unwrap()), "{error}");
    assert_eq!(save(&opened.snapshot(), &path, None).unwrap().files_written, 1);
    let length = fs::metadata(other).unwrap().len();
    for wrong in [length - 1, length + 1, 0] {
        // A file of the same name, not the one that is mapped.
        let bytes = fs::read(other).unwrap();
        fs::remove_file(other).unwrap();
        fs::write(other, bytes).unwrap();
        File::options().write(true).open(other).unwrap().set_len(wrong).unwrap();
        let error = open(&path).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{wrong} bytes long, the manifest says {length}")),
            "{error}"
        );
        assert_eq!(save(&catalog.snapshot(), &path, None).unwrap().files_written, 1);
        assert_eq!(files(&path).len(), files_written);
    }
    assert_eq!(contents(&reopened(&path).unwrap()).unwrap(), contents(&catalog).unwrap());
}

#[test]
fn test_a_dictionary_that_segments_share_is_written_once_and_shared_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let rows = BLOCK_ROWS;
    let texts = (0..500).map(|i| format!("a text that is long enough to lie out of line, {i}"));
    let texts: StringViewArray = texts.map(Some).collect();
    let values = Arc::new(DictionaryValues::new(Arc::new(texts)));
    let column = |step: usize| {
        let codes: UInt16Array = (0..rows).map(|i| Some((i * step % 500) as u16)).collect();
        let encoding = Encoding::Dictionary { codes: Arc::new(codes), values: Arc::clone(&values) };
        ("s".to_owned(), LogicalType::Text, encoding)
    };
    let mut large = table_of(&[column(1)], rows);
    // Large enough segments are not put together.
    let segments = [3, 7].map(|step| segment_of(&[column(step)], rows));
    let both = catalog_of(vec![
        ("a", large.clone()),
        ("b", TableVersion::new(Arc::clone(large.shared_schema()), &segments[..1]).unwrap()),
    ]);
    let saved = save(&both.snapshot(), &path, None).unwrap();
    assert_eq!(saved.files_written, 3);
    let opened = reopened(&path).unwrap();
    let dictionary = |catalog: &Arc<Catalog>, name| {
        let table = opened_table(catalog, name);
        let part = table.parts().next().unwrap().clone();
        match part.segment.columns()[0].encoding().unwrap() {
            Encoding::Dictionary { values, .. } => Arc::clone(values),
            other => panic!("{}", other.name()),
        }
    };
    assert!(Arc::ptr_eq(&dictionary(&opened, "a"), &dictionary(&opened, "b")));
    assert_eq!(dictionary(&opened, "a").values().to_data(), values.values().to_data());
    assert_eq!(contents(&opened).unwrap(), contents(&both).unwrap());
    // A later segment of the same dictionary refers to the file that is there.
    let mut transaction = both.begin();
    large = TableVersion::new(Arc::clone(large.shared_schema()), &segments[1..]).unwrap();
    transaction.create_table("c", large, IfExists::Fail).unwrap();
    transaction.drop_entry("b", crate::EntryKind::Table, false).unwrap();
    transaction.commit().unwrap();
    let saved = save(&both.snapshot(), &path, None).unwrap();
    assert_eq!((saved.files_written, saved.files_kept), (1, 2));
    let opened = reopened(&path).unwrap();
    assert!(Arc::ptr_eq(&dictionary(&opened, "a"), &dictionary(&opened, "c")));
    assert_eq!(contents(&opened).unwrap(), contents(&both).unwrap());
    // Damage in it is found by whichever column reads it first.
    let entries = spans(&path).into_iter().filter(|((path, ..), _)| {
        FileReader::try_new(File::open(path).unwrap(), None).unwrap().schema().field(0).name()
            == "entries"
    });
    let ((file, offset, _), _) = entries.into_iter().find(|((.., len), _)| *len > 0).unwrap();
    drop(opened);
    flip(&file, offset + 1, 4);
    let error = contents(&reopened(&path).unwrap()).unwrap_err().to_string();
    assert!(error.contains(file.to_str().unwrap()) && error.contains("column 's'"), "{error}");
}

#[test]
fn test_who_may_not_save_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let catalog = sample();
    let refused =
        |path: &Path, expected| save(&catalog.snapshot(), path, expected).unwrap_err().to_string();
    assert!(refused(&path.join("deeper"), None).contains("cannot save to '"));
    assert!(!path.exists());
    fs::write(&path, b"a file").unwrap();
    assert!(refused(&path, None).contains("it is a file, not a folder"));
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.doc"), b"precious").unwrap();
    assert!(refused(&other, None).contains("is no StoaDB database and holds 'thesis.doc'"));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);

    // What a save that was killed before it had a manifest has left is no obstacle.
    let path = folder.path().join("begun");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("00000000000000ff.arrow"), b"half").unwrap();
    fs::write(path.join("lock"), b"").unwrap();
    let first = save(&catalog.snapshot(), &path, None).unwrap();
    assert!(!path.join("00000000000000ff.arrow").exists());

    let lock = File::open(path.join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(refused(&path, None).contains("another save to it is under way"));
    drop(lock);
    let second = save(&catalog.snapshot(), &path, Some(first.id)).unwrap();
    let error = save(&catalog.snapshot(), &path, Some(first.id)).unwrap_err();
    assert!(
        matches!(&error, StorageError::Conflict(m) if m.contains("another database")),
        "{error}"
    );
    assert_eq!(open(&path).unwrap().id, second.id);

    // A damaged manifest is not taken for an empty folder.
    flip(&path.join("manifest"), 30, 1);
    assert!(refused(&path, None).contains("checksum"));
}

#[test]
fn test_registered_relations_are_skipped_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let catalog = sample();
    let mut transaction = catalog.begin();
    let batch = BatchTable::new(Arc::new(arrow::datatypes::Schema::empty()), vec![]).unwrap();
    transaction.register("Frame", batch as Arc<BatchTable>, IfExists::Fail).unwrap();
    transaction.commit().unwrap();
    let saved = save(&catalog.snapshot(), &path, None).unwrap();
    assert_eq!((saved.tables, saved.views, saved.skipped), (2, 1, vec!["Frame".to_owned()]));
    assert!(reopened(&path).unwrap().snapshot().relation("frame").is_none());
}

#[test]
fn test_an_extended_dictionary_is_all_that_is_written_of_old_segments() {
    let folder = tempfile::tempdir().unwrap();
    let rows = BLOCK_ROWS;
    let segment = |entries: usize, rows: usize| {
        let texts =
            (0..entries).map(|i| Some(format!("entry {i} of those that make a dictionary")));
        let values = Arc::new(DictionaryValues::new(Arc::new(texts.collect::<StringViewArray>())));
        let codes: UInt8Array = (0..rows).map(|i| Some((i % entries) as u8)).collect();
        let encoding = Encoding::Dictionary { codes: Arc::new(codes), values };
        segment_of(&[("s".to_owned(), LogicalType::Text, encoding)], rows)
    };
    let schema = Schema::new(vec![ColumnDef::new("s", LogicalType::Text)]);
    // Of one segment, whose dictionary lies in its file; of two, which share one.
    for segments in [1, 2] {
        let path = folder.path().join(format!("db{segments}"));
        let first: Vec<_> = (0..segments).map(|_| segment(20, rows * 4)).collect();
        let table = TableVersion::new(Arc::new(schema.clone()), &first).unwrap();
        let memory = catalog_of(vec![("t", table)]);
        let saved = save(&memory.snapshot(), &path, None).unwrap();
        assert_eq!(saved.files_written, if segments == 1 { 1 } else { 3 });
        let old_files = files(&path);
        for catalog in [memory, reopened(&path).unwrap()] {
            let mut transaction = catalog.begin();
            transaction.append("t", vec![segment(30, rows * 4)]).unwrap();
            transaction.commit().unwrap();
            let ids = |catalog: &Arc<Catalog>| {
                let table = opened_table(catalog, "t");
                let parts = table.parts().map(|part| part.segment.columns()[0].dictionary_id());
                let mut ids: Vec<_> = parts.collect();
                ids.dedup();
                ids.len()
            };
            assert_eq!(ids(&catalog), 1);
            let copy = folder.path().join("copy");
            fs::create_dir(&copy).unwrap();
            for file in files(&path).iter().chain([&path.join("manifest")]) {
                fs::copy(file, copy.join(file.file_name().unwrap())).unwrap();
            }
            let saved = save(&catalog.snapshot(), &copy, None).unwrap();
            assert_eq!(saved.files_written, 2, "the dictionary and the new segment");
            assert_eq!(saved.files_kept, segments);
            let again = reopened(&copy).unwrap();
            assert_eq!(ids(&again), 1);
            assert_eq!(contents(&again).unwrap(), contents(&catalog).unwrap());
            fs::remove_dir_all(&copy).unwrap();
        }
        assert_eq!(files(&path), old_files);
    }
}

/// Writes a manifest that holds what it should not, with the right checksum.
fn tampered(path: &Path, tamper: impl FnOnce(&mut Manifest)) -> StorageError {
    let folder = Folder::at(path);
    let sound = fs::read(path.join("manifest")).unwrap();
    let mut manifest = folder.manifest().unwrap().unwrap();
    tamper(&mut manifest);
    fs::write(path.join("manifest"), manifest.write().unwrap()).unwrap();
    let result = reopened(path).and_then(|catalog| contents(&catalog));
    fs::write(path.join("manifest"), sound).unwrap();
    result.unwrap_err()
}

/// Changes the layout of the first column of the first segment that `change` accepts.
fn change_layout(manifest: &mut Manifest, change: impl Fn(&mut Layout) -> bool) {
    for entry in manifest.segments.values_mut() {
        let mut segment = SegmentEntry::read(entry.clone()).unwrap();
        if segment.columns.iter_mut().any(|column| change(&mut column.layout)) {
            *entry = segment.write().into();
            return;
        }
    }
    panic!("no such column");
}

#[test]
fn test_a_manifest_that_lies_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let missing = open(&path).unwrap_err().to_string();
    assert!(missing.contains("there is no such folder"), "{missing}");
    assert!(open(folder.path()).unwrap_err().to_string().contains("it has no manifest"));
    assert!(!is_saved_database(&path));
    save(&sample().snapshot(), &path, None).unwrap();
    assert!(is_saved_database(&path));

    let sound = fs::read(path.join("manifest")).unwrap();
    let refused = |bytes: &[u8]| {
        fs::write(path.join("manifest"), bytes).unwrap();
        open(&path).unwrap_err().to_string()
    };
    for length in (0..sound.len()).step_by(97) {
        let error = refused(&sound[..length]);
        assert!(error.contains("manifest"), "{error}");
    }
    assert!(refused(&[&sound[..], b"x"].concat()).contains("checksum"));
    let mut newer = sound.clone();
    newer[8] = 9;
    let error = refused(&newer);
    assert!(error.contains("format version 9; this StoaDB reads and writes version 1"), "{error}");
    assert!(refused(b"PAR1 and so on, which is long enough").contains("no manifest"));
    fs::write(path.join("manifest"), &sound).unwrap();

    let far = Span { offset: 1 << 40, len: 8, crc: 0 };
    let error = tampered(&path, |manifest| {
        change_layout(manifest, |layout| match layout {
            Layout::Plain(values) => {
                values.spans.push(far);
                true
            }
            _ => false,
        });
    });
    assert!(error.to_string().contains("lies outside of a file"), "{error}");
    type Change = fn(&mut Layout) -> bool;
    let changes: [(&str, Change); 6] = [
        ("a buffer is missing", |layout| {
            let Layout::Plain(values) = layout else { return false };
            values.spans.pop().is_some()
        }),
        ("too many parts", |layout| {
            let Layout::Plain(values) = layout else { return false };
            values.lengths.push(1);
            true
        }),
        ("rows", |layout| {
            let Layout::Plain(values) = layout else { return false };
            values.lengths[0] -= 1;
            true
        }),
        ("runs", |layout| {
            let Layout::RunEnd { ends, .. } = layout else { return false };
            ends.lengths[0] -= 1;
            true
        }),
        ("entries", |layout| {
            let Layout::Dictionary { entries: Entries::Own(values), .. } = layout else {
                return false;
            };
            values.lengths[0] = 3;
            true
        }),
        ("'i32 narrow UInt8'", |layout| {
            let Layout::Narrow { width, .. } = layout else { return false };
            *width = Width::Eight;
            true
        }),
    ];
    for (message, change) in changes {
        let error = tampered(&path, |manifest| change_layout(manifest, change));
        let StorageError::Corrupt { column: Some(_), .. } = &error else { panic!("{error}") };
        assert!(error.to_string().contains(message), "{message}: {error}");
    }
    let error = tampered(&path, |manifest| {
        let parts = &mut manifest.tables[0].parts;
        parts[0].segment ^= 1;
    });
    assert!(error.to_string().contains("a segment is not listed"), "{error}");
    let error = tampered(&path, |manifest| {
        let column = ColumnDef::new("more", LogicalType::Int64);
        let mut schema = manifest.tables[0].schema.as_ref().clone();
        schema.columns.push(column);
        manifest.tables[0].schema = Arc::new(schema);
    });
    assert!(error.to_string().contains("columns, the table has"), "{error}");
    reopened(&path).unwrap();
}
