//! `stoa` on the folder of a saved database.

#![expect(clippy::unwrap_used, reason = "a test that cannot start fails")]

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

fn stoa(folder: &Path, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_stoa"))
        .current_dir(folder)
        .args(["--format", "csv"])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A run that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn works(folder: &Path, args: &[&str], input: &str) -> String {
    let output = stoa(folder, args, input);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(folder: &Path, args: &[&str]) -> String {
    let output = stoa(folder, args, "");
    assert!(!output.status.success(), "{args:?} works");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn test_a_folder_is_made_opened_changed_and_saved_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let make = "CREATE TABLE t AS SELECT * FROM (VALUES (1, 'one'), (2, NULL)) v(a, s);
                CREATE VIEW v AS SELECT a FROM t WHERE s IS NULL; SAVE TO 'shop'";
    let saved = works(folder, &["-c", make], "");
    assert!(saved.contains("saved_to,tables,views,bytes_written,not_saved"), "{saved}");
    assert!(saved.contains("shop,1,1,"), "{saved}");
    assert_eq!(works(folder, &["shop", "-c", "SELECT * FROM t"], ""), "a,s\n1,one\n2,\n");
    assert_eq!(works(folder, &["shop/", "-c", "SELECT * FROM v"], ""), "a\n2\n");
    // Statements from standard input, as in the shell; what is not saved is gone.
    assert_eq!(works(folder, &["shop"], "INSERT INTO t VALUES (3, 'x'); FROM v"), "a\n2\n");
    let change = "INSERT INTO t VALUES (4, NULL); SAVE; SELECT count(*) AS n FROM t";
    assert!(works(folder, &["shop"], change).ends_with("n\n3\n"));
    assert_eq!(works(folder, &["shop", "-c", "FROM v"], ""), "a\n2\n4\n");
}

#[test]
fn test_what_is_no_saved_database_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("empty")).unwrap();
    let error = fails(folder, &["empty", "-c", "SELECT 1"]);
    assert!(error.contains("no saved database") && error.contains("empty"), "{error}");
    let error = fails(folder, &["missing", "-c", "SELECT 1"]);
    assert!(error.contains("missing"), "{error}");
    for name in ["a", "b"] {
        works(folder, &["-c", &format!("CREATE TABLE t (x INTEGER); SAVE TO '{name}'")], "");
    }
    let error = fails(folder, &["a", "b", "-c", "SELECT 1"]);
    assert!(error.contains("'a' and 'b' are databases; open one at a time"), "{error}");
    std::fs::write(folder.join("a/manifest"), b"something else altogether, and long").unwrap();
    let error = fails(folder, &["a", "-c", "SELECT 1"]);
    assert!(error.contains("a/manifest") && error.contains("no manifest"), "{error}");
    let help = works(folder, &["--help"], "");
    assert!(help.contains("SAVE TO") && help.contains("Open the folder as the database"), "{help}");
}
