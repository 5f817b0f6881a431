//! Saves version after version of a database to a folder until it is killed: the child of the test of killed saves.
//!
//! `save_loop FOLDER`: goes on from the version that the folder holds; prints the number of a version once it is saved.

use std::{
    io::{Write, stdout},
    path::Path,
    sync::Arc,
};

use stoadb_storage::catalog::{Catalog, IfExists};
use stoadb_tests::versions::{BIG, big, read_version, version_of};

fn main() {
    let folder = std::env::args().nth(1).expect("a folder");
    let folder = Path::new(&folder);
    let catalog = Catalog::new();
    let mut version = read_version(folder).expect("the folder opens");
    let mut transaction = catalog.begin();
    // The large table is opened, not made, if it is there: its file is kept from save to save.
    transaction.create_table(BIG, big(folder), IfExists::Fail).expect("a new table");
    transaction.commit().expect("nobody else commits");
    loop {
        version += 1;
        let mut transaction = catalog.begin();
        for (name, table) in version_of(version) {
            transaction.create_table(&name, table, IfExists::Replace).expect("a table");
        }
        transaction.commit().expect("nobody else commits");
        let snapshot: Arc<_> = catalog.snapshot();
        stoadb_storage::disk::save(&snapshot, folder, stoadb_storage::disk::Replace::Any)
            .expect("the save works");
        writeln!(stdout(), "{version}").expect("somebody reads");
    }
}
