//! Versions of a database that show whether they are whole: what the test of killed saves and its child share.
//!
//! Invariant: version `n` holds the number `n` in every row of several tables of several segments, and a table that never
//! changes.

use std::{path::Path, sync::Arc};

use arrow::{
    array::{AsArray, Int64Array},
    datatypes::Int64Type,
};
use stoadb_storage::{
    BLOCK_ROWS, ColumnDef, Entry, LogicalType, Schema, TableBuilder, TableVersion, Vector, disk,
};

/// The table that never changes.
pub const BIG: &str = "big";
/// Rows of each of the tables that change.
const ROWS: usize = 300;

fn table(segments: usize, rows: usize, value: impl Fn(usize) -> i64) -> TableVersion {
    let schema = Arc::new(Schema::new(vec![ColumnDef::new("v", LogicalType::Int64)]));
    let mut table = TableVersion::new(Arc::clone(&schema), &[]).expect("an empty table");
    for _ in 0..segments {
        let mut builder = TableBuilder::new(Arc::clone(&schema));
        let values = Int64Array::from_iter_values((0..rows).map(&value));
        builder.push(&[Vector::Flat(Arc::new(values))], None).expect("rows of the table");
        table = table.append(&builder.finish().expect("a segment")).expect("a segment");
    }
    table
}

/// The table that never changes: the one of the folder if there is one.
pub fn big(folder: &Path) -> TableVersion {
    let opened = disk::open(folder).ok().into_iter().flat_map(|opened| opened.entries);
    for (name, entry) in opened {
        if let (BIG, Entry::Table(table)) = (name.as_str(), entry) {
            return table.as_ref().clone();
        }
    }
    table(1, BLOCK_ROWS, |row| row as i64)
}

/// The tables of a version that are not `BIG`.
pub fn version_of(version: i64) -> Vec<(String, TableVersion)> {
    let name = |i| format!("t{i}");
    (0..3).map(|i| (name(i), table(1 + i, ROWS, |_| version))).collect()
}

/// The version that a folder holds, every row of it read; 0 if it is not there.
///
/// # Errors
/// What is wrong with the folder.
pub fn read_version(folder: &Path) -> Result<i64, String> {
    if !disk::is_saved_database(folder) {
        return Ok(0);
    }
    let entries = disk::open(folder).map_err(|error| error.to_string())?.entries;
    let mut found = vec![];
    let mut tables = vec![];
    for (name, entry) in entries {
        let Entry::Table(table) = entry else { return Err(format!("{name} is no table")) };
        for part in table.parts() {
            let rows = part.segment.rows();
            let values = part.segment.columns()[0].read(0..rows).and_then(|v| v.flatten());
            let values = values.map_err(|error| error.to_string())?;
            let values = values.as_primitive::<Int64Type>().values();
            match name.as_str() {
                BIG if values.iter().copied().eq(0..BLOCK_ROWS as i64) => {}
                BIG => return Err("the large table is another".into()),
                _ => found.extend_from_slice(values),
            }
        }
        tables.push(name);
    }
    if tables != [BIG, "t0", "t1", "t2"] {
        return Err(format!("the tables are {tables:?}"));
    }
    let version = found.first().copied().ok_or("no rows")?;
    match found.len() == 6 * ROWS && found.iter().all(|&value| value == version) {
        true => Ok(version),
        false => Err(format!("{} rows of several versions: {version} and others", found.len())),
    }
}
