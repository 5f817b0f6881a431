//! Saved databases through SQL, under kill -9, beside writers, and damaged.

use std::{
    fs,
    io::Read,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use arrow::{array::*, datatypes::DataType};
use stoadb::{Connection, Database, ErrorKind, Scalar, to_text};
use stoadb_tests::rows::{error, rows};
use stoadb_tests::versions::read_version;

/// Names of files that the manifest does not name, so that the next save is to remove them.
fn leftovers(folder: &Path) -> usize {
    let Ok(manifest) = fs::read(folder.join("manifest")) else { return 0 };
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let left = |name: &str| match name.strip_suffix(".arrow") {
        Some(digits) => {
            let number = u64::from_str_radix(digits, 16).unwrap().to_le_bytes();
            !manifest.windows(8).any(|window| window == number)
        }
        None => name == "manifest.new",
    };
    names.filter(|name| left(&name.to_string_lossy())).count()
}

#[test]
fn test_a_save_that_is_killed_leaves_the_old_or_the_new_version() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let (mut version, mut in_the_middle, mut seed) = (0, 0, 0x5eed_u64);
    // Longest time until a kill, in microseconds: as long as a few saves take, however busy the machine is.
    let mut longest = 30_000_u64;
    for kill in 0..200 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_save_loop"))
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        thread::sleep(Duration::from_micros((seed >> 33) % longest));
        child.kill().unwrap();
        assert!(child.wait().unwrap().code().is_none(), "kill {kill}: the child ended by itself");
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        longest = match said.is_empty() {
            true => (longest * 5 / 4).min(500_000),
            false => (longest * 9 / 10).max(5_000),
        };
        // What was said to be saved is; of what came after, the next version at most.
        let saved = said.lines().last().map_or(version, |line| line.parse().unwrap());
        let found = read_version(&path).unwrap_or_else(|error| panic!("kill {kill}: {error}"));
        assert!(found == saved || found == saved + 1, "kill {kill}: {found} after {saved}");
        in_the_middle += usize::from(leftovers(&path) > 0);
        version = found;
    }
    assert!(version > 20, "only {version} versions were saved");
    assert!(in_the_middle > 10, "only {in_the_middle} kills hit a save");
    // The next save removes what the killed ones left.
    let database = Database::open(&path).unwrap();
    database.save(&path).unwrap();
    assert_eq!(leftovers(&path), 0);
    assert_eq!(read_version(&path).unwrap(), version);
}

const TYPES: &str =
    "SELECT i AS id, i % 7 AS few, i::double / 3 AS d, (i / 100)::decimal(10, 2) AS m,
    'category ' || (i % 5) AS s, 'a text of its own, number ' || i AS u,
    DATE '2026-01-01' + i AS day, i % 2 = 0 AS even, CASE WHEN i % 3 > 0 THEN i END AS n, 42 AS c
    FROM (SELECT a.x + 10 * b.x + 100 * c.x + 1000 * d.x AS i FROM v a, v b, v c, v d) q";

fn sample() -> Connection {
    let connection = Database::open_in_memory().connect();
    let digits = "CREATE VIEW v AS SELECT * FROM
                  (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9)) v(x)";
    connection.execute(digits).unwrap();
    connection.execute(&format!("CREATE TABLE t AS {TYPES}")).unwrap();
    connection.execute("CREATE TABLE strict (a INTEGER NOT NULL, b TEXT)").unwrap();
    connection.execute("INSERT INTO strict VALUES (1, 'x'), (2, NULL)").unwrap();
    connection
}

const QUESTIONS: [&str; 7] = [
    "SELECT * FROM t ORDER BY id",
    "SELECT count(*), sum(id), avg(d), min(day), max(m), count(n), sum(c) FROM t",
    "SELECT s, few, count(*), sum(m) FROM t GROUP BY s, few ORDER BY s, few",
    "SELECT count(*) FROM t JOIN strict ON few = a WHERE even AND u LIKE '%7%'",
    "SELECT * FROM strict ORDER BY a",
    "SELECT sum(x) FROM v",
    "DESCRIBE t",
];

#[test]
fn test_a_saved_database_answers_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let before = sample();
    let text = path.display().to_string();
    let saved = rows(&before, &format!("SAVE TO '{text}'"));
    assert!(
        saved[0].starts_with(&format!("{text}|2|1|")) && saved[0].ends_with("|NULL"),
        "{saved:?}"
    );
    let database = Database::open(&path).unwrap();
    let after = database.connect();
    for sql in QUESTIONS {
        assert_eq!(rows(&after, sql), rows(&before, sql), "{sql}");
        let touched = |connection: &Connection| {
            let lines = rows(connection, &format!("EXPLAIN ANALYZE {sql}"));
            lines.into_iter().filter(|line| line.contains("bytes stored")).collect::<Vec<_>>()
        };
        if sql.starts_with("SELECT") {
            assert_eq!(touched(&after), touched(&before), "{sql}");
        }
    }
    assert_eq!(error(&after, "INSERT INTO strict VALUES (NULL, 'y')").kind, ErrorKind::Constraint);
    // Changes go on from there, and are saved by SAVE alone.
    after.execute("INSERT INTO strict VALUES (3, 'z'); DROP TABLE t; SAVE").unwrap();
    let third = Database::open(&path).unwrap().connect();
    assert_eq!(rows(&third, "SELECT count(*), max(b) FROM strict"), ["3|z"]);
    assert_eq!(rows(&third, "SHOW TABLES"), ["strict|table", "v|view"]);
}

#[test]
fn test_save_says_what_it_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's");
    let connection = Database::open_in_memory().connect();
    assert!(error(&connection, "SAVE").message.contains("has no folder yet"));
    for sql in ["SAVE 'x'", "SAVE TO", "SAVE AS 'x'", "SAVE OR REPLACE", "SAVE OR TO 'x'"] {
        let error = error(&connection, sql);
        assert_eq!(
            (error.kind, error.message.contains("SAVE [OR REPLACE] TO 'folder'")),
            (ErrorKind::Syntax, true)
        );
    }
    for sql in ["SAVE TO 7", "SAVE TO ''", "SAVE TO folder"] {
        assert!(
            error(&connection, sql).message.contains("the path of a folder as a text"),
            "{sql}"
        );
    }
    assert_eq!(error(&connection, "CALL rescue()").kind, ErrorKind::Unsupported);
    let quoted = path.display().to_string().replace('\'', "''");
    connection.execute("BEGIN; CREATE TABLE t (x INTEGER)").unwrap();
    let refused = error(&connection, &format!("SAVE TO '{quoted}'"));
    assert!(refused.message.contains("COMMIT or ROLLBACK it before SAVE"), "{refused}");
    connection.execute("COMMIT").unwrap();

    // Relations that were registered are named; views that read them work again once they are registered anew.
    let ints: ArrayRef = std::sync::Arc::new(Int64Array::from(vec![1, 2]));
    let batch = RecordBatch::try_from_iter([("x", ints)]).unwrap();
    let register =
        |c: &Connection| c.register("frame", batch.schema(), vec![batch.clone()]).unwrap();
    register(&connection);
    connection.execute("CREATE VIEW doubled AS SELECT 2 * x AS y FROM frame").unwrap();
    let saved = connection
        .query_with("SAVE TO ?", &[Scalar::text(&path.display().to_string())])
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(to_text(saved.column(4)).unwrap().value(0), "frame");
    assert_eq!(*saved.column(0).data_type(), DataType::Utf8View);
    let again = Database::open(&path).unwrap().connect();
    assert!(error(&again, "FROM doubled").message.contains("frame"));
    register(&again);
    assert_eq!(rows(&again, "FROM doubled"), ["2", "4"]);
}

#[test]
fn test_two_databases_of_one_folder_do_not_undo_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    sample().database().save(&path).unwrap();
    let (one, two) = (Database::open(&path).unwrap(), Database::open(&path).unwrap());
    one.connect().execute("INSERT INTO strict VALUES (7, 'one'); SAVE").unwrap();
    let refused = error(&two.connect(), "SAVE");
    assert_eq!(refused.kind, ErrorKind::Catalog);
    assert!(refused.message.contains("saved by another database since"), "{refused}");
    // Saving elsewhere is fine, and so is going on where one saved last.
    two.save(folder.path().join("copy")).unwrap();
    one.save(&path).unwrap();
    assert_eq!(one.folder(), Some(path.canonicalize().unwrap()));
    // What was mapped is still there for who opened it before.
    assert_eq!(rows(&two.connect(), "SELECT count(*) FROM strict"), ["2"]);
}

#[test]
fn test_a_database_that_was_not_opened_is_replaced_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    sample().database().save(&path).unwrap();
    let other = Database::open_in_memory();
    let connection = other.connect();
    connection.execute("CREATE TABLE u (x INTEGER)").unwrap();
    let text = path.display();
    let refused = error(&connection, &format!("SAVE TO '{text}'"));
    assert_eq!(refused.kind, ErrorKind::Catalog);
    assert!(refused.message.contains("neither opened nor saved"), "{refused}");
    assert!(refused.hint.unwrap().contains("SAVE OR REPLACE TO"));
    assert_eq!(other.folder(), None);
    let kept = Database::open(&path).unwrap().connect();
    assert_eq!(rows(&kept, "SHOW TABLES"), ["strict|table", "t|table", "v|view"]);
    connection
        .execute(&format!("SAVE OR REPLACE TO '{text}'; INSERT INTO u VALUES (1); SAVE"))
        .unwrap();
    let replaced = Database::open(&path).unwrap().connect();
    assert_eq!(rows(&replaced, "SHOW TABLES"), ["u|table"]);
    assert_eq!(rows(&replaced, "FROM u"), ["1"]);
}

/// Tells others to stop, at the latest when it is dropped.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn test_a_save_sees_one_state_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let database = Database::open_in_memory();
    database.connect().execute("CREATE TABLE a (x BIGINT); CREATE TABLE b (x BIGINT)").unwrap();
    let done = AtomicBool::new(false);
    let mut counts = vec![];
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let connection = database.connect();
            let mut commits = 0;
            while !done.load(Ordering::Relaxed) {
                let both = "INSERT INTO a VALUES (1), (2); INSERT INTO b SELECT x FROM a LIMIT 2";
                connection.execute(&format!("BEGIN; {both}; COMMIT")).unwrap();
                commits += 2;
            }
            commits
        });
        // A failure here must not leave the writer at work for ever.
        let _stop = Stop(&done);
        for _ in 0..25 {
            database.save(&path).unwrap();
            let saved = Database::open(&path).unwrap().connect();
            let both = rows(&saved, "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)");
            let (a, b) = both[0].split_once('|').unwrap();
            assert_eq!(a, b);
            counts.push(a.parse::<u64>().unwrap());
        }
        done.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() >= counts[counts.len() - 1]);
    });
    assert!(counts.is_sorted() && counts[0] < counts[counts.len() - 1], "{counts:?}");
}

#[test]
fn test_a_query_of_a_damaged_column_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    let before = sample();
    before.database().save(&path).unwrap();
    // The texts of 'u' are the only ones that are long.
    let needle = b"a text of its own, number 1234";
    let (file, at) = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find_map(|file| {
            let bytes = fs::read(&file).unwrap();
            let at = bytes.windows(needle.len()).position(|window| window == needle)?;
            Some((file, at))
        })
        .unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[at] = 0xff;
    fs::write(&file, bytes).unwrap();
    let after = Database::open(&path).unwrap().connect();
    for sql in
        ["SELECT max(length(u)) FROM t", "SELECT count(*) FROM t WHERE u LIKE '%7%'", "FROM t"]
    {
        let error = error(&after, sql);
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(error.kind, ErrorKind::Io, "{error}");
        let named = error.message.contains(name) && error.message.contains("column 'u'");
        assert!(named && error.message.contains("checksum"), "{error}");
    }
    let sound = "SELECT count(*), sum(id), count(DISTINCT s), max(d) FROM t";
    assert_eq!(rows(&after, sound), rows(&before, sound));
    // Nothing of it is saved elsewhere as if it were sound.
    let error = after.database().save(folder.path().join("copy")).unwrap_err();
    assert!(error.message.contains("column 'u'"), "{error}");
}

/// Bytes that this process has got from read() and pread() so far.
fn bytes_read() -> u64 {
    let text = fs::read_to_string("/proc/self/io").unwrap();
    text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[test]
fn test_opening_reads_the_manifest_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db");
    sample().database().save(&path).unwrap();
    let manifest = fs::metadata(path.join("manifest")).unwrap().len();
    // Tests beside this one read too: the least of several openings is its own.
    let opening = || {
        let before = bytes_read();
        Database::open(&path).unwrap();
        bytes_read() - before
    };
    let least = (0..50).map(|_| opening()).min().unwrap();
    assert!(
        (manifest..manifest + 2000).contains(&least),
        "{least} bytes, the manifest has {manifest}"
    );
}
