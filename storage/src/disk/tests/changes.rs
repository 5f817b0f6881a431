//! Saving again: what is written, what is kept, what is refused.

use super::{
    damage::{flip, spans},
    *,
};
use crate::{
    disk::folder::Folder,
    table::{BatchTable, RowId},
};

#[test]
fn test_a_small_change_writes_little_and_readers_keep_what_they_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let catalog = sample();
    let first = save(&catalog.snapshot(), &path, Replace::Any).unwrap();
    assert_eq!((first.tables, first.views, first.files_kept), (3, 1, 0));
    let old_files = files(&path);
    assert_eq!(old_files.len(), first.files_written);
    let reader = reopened(&path).unwrap();
    let want = contents(&catalog).unwrap();

    // Nothing changed: nothing but the manifest is written, neither by who saved nor by who opened.
    let opened = reopened(&path).unwrap();
    for catalog in [&catalog, &opened] {
        let again = save(&catalog.snapshot(), &path, Replace::Any).unwrap();
        assert_eq!((again.files_written, again.files_kept), (0, old_files.len()));
        assert!(again.id != first.id);
        assert_eq!(files(&path), old_files);
    }

    // A delete changes the manifest alone.
    let mut transaction = opened.begin();
    transaction.delete_rows("large", &[RowId { segment: 0, row: 500 }]).unwrap();
    transaction.commit().unwrap();
    assert_eq!(save(&opened.snapshot(), &path, Replace::Any).unwrap().files_written, 0);
    assert_eq!(opened_table(&reopened(&path).unwrap(), "large").rows(), BLOCK_ROWS as u64 + 3);

    // Appended rows are a file of their own.
    let mut transaction = opened.begin();
    transaction.append("large", vec![segment_of(&[ints("id", 5, 3)], 3)]).unwrap();
    transaction.commit().unwrap();
    let saved = save(&opened.snapshot(), &path, Replace::Any).unwrap();
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
    save(&opened.snapshot(), &path, Replace::Any).unwrap();
    let mut names: Vec<_> =
        files(&path).into_iter().filter(|path| !old_files.contains(path)).collect();
    names.retain(|path| path.extension().unwrap() != "arrow");
    assert_eq!(names, [path.join("notes.txt")]);
    assert!(files(&path).len() < old_files.len() + 2);
    assert_eq!(contents(&reader).unwrap(), want);
    // And may save it elsewhere.
    let copy = folder.path().join("copy");
    assert_eq!(
        save(&reader.snapshot(), &copy, Replace::Any).unwrap().files_written,
        old_files.len()
    );
    assert_eq!(contents(&reopened(&copy).unwrap()).unwrap(), want);
}

#[test]
fn test_a_missing_file_is_written_again_by_who_has_its_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let catalog = sample();
    let files_written = save(&catalog.snapshot(), &path, Replace::Any).unwrap().files_written;
    let opened = reopened(&path).unwrap();
    let [one, other, ..] = &files(&path)[..] else { panic!("two files") };
    fs::remove_file(one).unwrap();
    let error = open(&path).unwrap_err().to_string();
    assert!(error.contains(one.file_name().unwrap().to_str().unwrap()), "{error}");
    assert_eq!(save(&opened.snapshot(), &path, Replace::Any).unwrap().files_written, 1);
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
        assert_eq!(save(&catalog.snapshot(), &path, Replace::Any).unwrap().files_written, 1);
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
    let saved = save(&both.snapshot(), &path, Replace::Any).unwrap();
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
    let saved = save(&both.snapshot(), &path, Replace::Any).unwrap();
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
        |path: &Path, replace| save(&catalog.snapshot(), path, replace).unwrap_err().to_string();
    assert!(refused(&path.join("deeper"), Replace::Nothing).contains("cannot save to '"));
    assert!(!path.exists());
    fs::write(&path, b"a file").unwrap();
    assert!(refused(&path, Replace::Any).contains("it is a file, not a folder"));
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("thesis.doc"), b"precious").unwrap();
    assert!(refused(&other, Replace::Any).contains("is no StoaDB database and holds 'thesis.doc'"));
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);

    // What a save that was killed before it had a manifest has left is no obstacle.
    let path = folder.path().join("begun");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("00000000000000ff.arrow"), b"half").unwrap();
    fs::write(path.join("lock"), b"").unwrap();
    let first = save(&catalog.snapshot(), &path, Replace::Any).unwrap();
    assert!(!path.join("00000000000000ff.arrow").exists());

    let lock = File::open(path.join("lock")).unwrap();
    lock.lock().unwrap();
    assert!(refused(&path, Replace::Any).contains("another save to it is under way"));
    drop(lock);

    // A process that was forked during a save has the lock's file open for as long as it lives.
    let lock = Folder::at(&path).lock().unwrap();
    let _forked = lock.0.try_clone().unwrap();
    drop(lock);
    assert!(refused(&path, Replace::Nothing).contains("neither opened nor saved"));
    let second = save(&catalog.snapshot(), &path, Replace::Version(first.id)).unwrap();
    let error = save(&catalog.snapshot(), &path, Replace::Version(first.id)).unwrap_err();
    assert!(
        matches!(&error, StorageError::Conflict(m) if m.contains("another database")),
        "{error}"
    );
    assert_eq!(open(&path).unwrap().id, second.id);

    // A damaged manifest is not taken for an empty folder.
    flip(&path.join("manifest"), 30, 1);
    assert!(refused(&path, Replace::Any).contains("checksum"));
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
    let saved = save(&catalog.snapshot(), &path, Replace::Any).unwrap();
    assert_eq!((saved.tables, saved.views, saved.skipped), (3, 1, vec!["Frame".to_owned()]));
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
        let saved = save(&memory.snapshot(), &path, Replace::Any).unwrap();
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
            let saved = save(&catalog.snapshot(), &copy, Replace::Any).unwrap();
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

#[test]
fn test_a_save_whose_last_sync_fails_is_in_place_and_keeps_both_versions() {
    use crate::disk::folder::failing;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let catalog = sample();
    let first = save(&catalog.snapshot(), &path, Replace::Any).unwrap();
    let old_files = files(&path);
    let old_manifest = fs::read(path.join("manifest")).unwrap();
    let mut transaction = catalog.begin();
    transaction.drop_entry("t", crate::EntryKind::Table, false).unwrap();
    transaction.append("large", vec![segment_of(&[ints("id", 5, 3)], 3)]).unwrap();
    transaction.commit().unwrap();
    let want = contents(&catalog).unwrap();

    // The first sync fails: nothing happened.
    failing::after(Some(0));
    let error = save(&catalog.snapshot(), &path, Replace::Version(first.id)).unwrap_err();
    assert!(matches!(error, StorageError::Save { .. }), "{error}");
    assert_eq!(fs::read(path.join("manifest")).unwrap(), old_manifest);
    // The last one does: the new version is there, and so is all that the old one needs.
    failing::after(Some(1));
    let error = save(&catalog.snapshot(), &path, Replace::Version(first.id)).unwrap_err();
    let StorageError::SaveUnsettled { id, .. } = &error else { panic!("{error}") };
    let id = *id;
    let text = error.to_string();
    assert!(
        text.contains("holds the new version") && text.contains("disk does not answer"),
        "{text}"
    );
    assert!(old_files.iter().all(|file| file.exists()));
    assert_eq!(contents(&reopened(&path).unwrap()).unwrap(), want);
    // A save that fails early after it leaves both, too.
    failing::after(Some(0));
    let error = save(&catalog.snapshot(), &path, Replace::Version(id)).unwrap_err();
    assert!(matches!(error, StorageError::Save { .. }), "{error}");
    assert!(old_files.iter().all(|file| file.exists()));
    failing::after(None);
    let new_manifest = fs::read(path.join("manifest")).unwrap();
    fs::write(path.join("manifest"), &old_manifest).unwrap();
    assert_eq!(opened_table(&reopened(&path).unwrap(), "large").rows(), BLOCK_ROWS as u64 + 4);
    fs::write(path.join("manifest"), new_manifest).unwrap();

    // Who knows its number saves again, and the old files go.
    assert!(save(&catalog.snapshot(), &path, Replace::Version(first.id)).is_err());
    save(&catalog.snapshot(), &path, Replace::Version(id)).unwrap();
    assert!(!old_files.iter().all(|file| file.exists()));
    assert_eq!(contents(&reopened(&path).unwrap()).unwrap(), want);
}
