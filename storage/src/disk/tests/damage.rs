//! Damaged files and manifests: named, never read, never a panic.

use std::collections::BTreeMap;

use super::*;
use crate::disk::{
    folder::Folder,
    layout::{ArrayLayout, Entries, Layout, Span, Width},
    manifest::{DictionaryEntry, Manifest, SegmentEntry},
};

/// Every buffer of the folder's files, with the columns that use it.
pub(super) fn spans(path: &Path) -> BTreeMap<(PathBuf, u64, u64), String> {
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

pub(super) fn flip(file: &Path, at: u64, mask: u8) {
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
    save(&catalog.snapshot(), &path, Replace::Any).unwrap();
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
    save(&catalog_of(vec![("t", before.clone())]).snapshot(), &path, Replace::Any).unwrap();
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
    save(&sample().snapshot(), &path, Replace::Any).unwrap();
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
    assert!(error.contains("format version 9; this StoaDB reads and writes version 3"), "{error}");
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
