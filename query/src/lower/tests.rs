//! Whole statements: golden plan texts, and what must hold of every plan.

use std::{fs, path::Path};

use super::testing::plan_text;

/// Each file of `query/plans` is a query, a line `----` and its plan. `UPDATE_PLANS=1` writes the plans anew.
#[test]
fn test_golden_plans() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 20);
    let mut different = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (sql, wanted) = text.split_once("----\n").unwrap();
        let found = plan_text(sql);
        if found == wanted {
            continue;
        }
        if std::env::var_os("UPDATE_PLANS").is_some() {
            fs::write(&file, format!("{sql}----\n{found}")).unwrap();
        } else {
            different.push(format!("{}\n{found}", file.display()));
        }
    }
    assert!(different.is_empty(), "changed plans (UPDATE_PLANS=1):\n{}", different.join("\n"));
}
