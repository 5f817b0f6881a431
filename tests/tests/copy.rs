//! COPY, EXPORT and the readers of files: what is written is read back, whatever the format; what fails leaves nothing.
//!
//! Expected texts of CSV and JSON files are what DuckDB 2.0 writes, but for floats and decimals in JSON, which keep their
//! digits here.

use std::{fs, path::Path};

use stoadb::{Connection, Database, ErrorKind};
use stoadb_tests::rows::{error, rows, try_rows};

/// A database and a folder; `{dir}` in statements is the folder.
struct Place {
    folder: tempfile::TempDir,
    connection: Connection,
}

impl Place {
    fn new() -> Self {
        let connection = Database::open_in_memory().connect();
        Self { folder: tempfile::tempdir().unwrap(), connection }
    }

    fn sql(&self, sql: &str) -> String {
        sql.replace("{dir}", self.folder.path().to_str().unwrap())
    }

    fn run(&self, sql: &str) -> u64 {
        let sql = self.sql(sql);
        self.connection.execute(&sql).unwrap_or_else(|error| panic!("{}", error.render(&sql)))
    }

    fn rows(&self, sql: &str) -> Vec<String> {
        rows(&self.connection, &self.sql(sql))
    }

    fn error(&self, sql: &str) -> String {
        error(&self.connection, &self.sql(sql)).to_string()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The names of all files below the folder, sorted.
    fn files(&self) -> Vec<String> {
        fn walk(folder: &Path, found: &mut Vec<String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(&path, found),
                    false => found.push(path.to_str().unwrap().to_owned()),
                }
            }
        }
        let mut found = Vec::new();
        walk(self.folder.path(), &mut found);
        let prefix = format!("{}/", self.folder.path().display());
        let mut found: Vec<_> =
            found.iter().map(|path| path.trim_start_matches(&prefix).to_owned()).collect();
        found.sort();
        found
    }
}

/// A table of every type that files hold, with NULLs, edges and odd texts.
const EVERY_TYPE: &str = "CREATE TABLE every AS
    SELECT 1 AS id, true AS b, 1::TINYINT AS i8, 1::SMALLINT AS i16, 1::INTEGER AS i32, 1::BIGINT AS i64,
        1::UTINYINT AS u8, 1::USMALLINT AS u16, 1::UINTEGER AS u32, 18446744073709551615::UBIGINT AS u64,
        1.5::FLOAT AS f, 0.1::DOUBLE AS d, 12.30::DECIMAL(5,2) AS d5, (-1.00)::DECIMAL(18,2) AS d18,
        123456789012345678901234567.89::DECIMAL(38,2) AS d38, 'plain' AS t, DATE '2024-01-02' AS dt,
        TIME '03:04:05.123456' AS tm, TIMESTAMP '2024-01-02 03:04:05.123456' AS ts,
        CAST('2024-01-02 03:04:05' AS TIMESTAMP_S) AS tss, CAST('2024-01-02 03:04:05.123' AS TIMESTAMP_MS) AS tsms,
        CAST('2024-01-02 03:04:05.123456789' AS TIMESTAMP_NS) AS tsns, TIMESTAMPTZ '2024-01-02 03:04:05+00' AS tz,
        [1, NULL, 3] AS li, ['a', NULL, 'q\"x, y'] AS lt, {'x': 1, 'y': 'z'} AS st
    UNION ALL SELECT 2, false, (-128)::TINYINT, (-32768)::SMALLINT, (-2147483648)::INTEGER, (-9223372036854775807)::BIGINT,
        255::UTINYINT, 65535::USMALLINT, 4294967295::UINTEGER, 0::UBIGINT, (-1.5)::FLOAT, (-1e300)::DOUBLE,
        (-999.99)::DECIMAL(5,2), 0::DECIMAL(18,2), (-0.01)::DECIMAL(38,2), 'two
lines, \"quoted\"', DATE '1899-12-31', TIME '00:00:00', TIMESTAMP '1969-12-31 23:59:59.999999',
        CAST('1969-12-31 23:59:59' AS TIMESTAMP_S), CAST('1969-12-31 23:59:59.999' AS TIMESTAMP_MS),
        CAST('1969-12-31 23:59:59.999999999' AS TIMESTAMP_NS), TIMESTAMPTZ '1969-12-31 23:59:59+00',
        [7], ['NULL'], {'x': 2, 'y': ''}
    UNION ALL SELECT 3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL";

const AGAIN: &str = "SELECT * EXCLUDE (st), st.x, st.y FROM again ORDER BY id";

/// Columns without nested values.
const FLAT: &str =
    "id, b, i8, i16, i32, i64, u8, u16, u32, u64, f, d, d5, d18, d38, t, dt, tm, ts, tss, tsms, tz";

#[test]
fn test_parquet_and_arrow_give_back_every_type() {
    let place = Place::new();
    place.run(EVERY_TYPE);
    place.run("CREATE TABLE more AS SELECT *, INTERVAL '1 month 2 days 3.5 seconds' iv, 'ab'::BLOB bl FROM every");
    let wanted = place.rows("SELECT * EXCLUDE (st), st.x, st.y FROM more ORDER BY id");
    for (file, options) in [
        ("a.parquet", ""),
        ("b.parquet", "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 9)"),
        ("c.parquet", "(COMPRESSION 'gzip', ROW_GROUP_SIZE 2)"),
        ("d.parquet", "(COMPRESSION uncompressed)"),
        ("e.parquet", "(CODEC brotli, WRITE_BLOOM_FILTER true)"),
        ("f.parquet", "WITH (FORMAT PARQUET, COMPRESSION lz4)"),
        ("a.arrow", ""),
        ("b.feather", "(FORMAT arrow, ROW_GROUP_SIZE 2)"),
        ("c.arrows", ""),
    ] {
        assert_eq!(place.run(&format!("COPY more TO '{{dir}}/{file}' {options}")), 3, "{file}");
        let found = place
            .rows(&format!("SELECT * EXCLUDE (st), st.x, st.y FROM '{{dir}}/{file}' ORDER BY id"));
        assert_eq!(found, wanted, "{file}");
        place.run("CREATE OR REPLACE TABLE again AS SELECT * FROM more LIMIT 0");
        assert_eq!(place.run(&format!("COPY again FROM '{{dir}}/{file}'")), 3);
        assert_eq!(place.rows(AGAIN), wanted, "{file}");
    }
}

#[test]
fn test_csv_and_json_give_back_flat_types() {
    let place = Place::new();
    place.run(EVERY_TYPE);
    let wanted = place.rows(&format!("SELECT {FLAT} FROM every ORDER BY id"));
    for (file, options) in [
        ("a.csv", ""),
        ("b.csv.gz", ""),
        ("c.csv.zst", "(HEADER false)"),
        ("d.tsv", ""),
        ("e.csv", "(DELIMITER '|', QUOTE '''', NULLSTR 'none', FORCE_QUOTE (t, dt))"),
        ("f.csv", "WITH CSV HEADER DELIMITER ';' NULL 'NA' FORCE QUOTE *"),
        ("g.json", ""),
        ("h.jsonl.gz", ""),
        ("i.json", "(FORMAT json, ARRAY true)"),
        ("j.ndjson", "(COMPRESSION none)"),
    ] {
        let copied =
            place.run(&format!("COPY (SELECT {FLAT} FROM every) TO '{{dir}}/{file}' {options}"));
        assert_eq!(copied, 3);
        place.run(&format!("CREATE OR REPLACE TABLE again AS SELECT {FLAT} FROM every LIMIT 0"));
        let reading = options.replace(", FORCE_QUOTE (t, dt)", "").replace(" FORCE QUOTE *", "");
        let reading = reading.replace("(FORMAT json, ARRAY true)", "");
        assert_eq!(place.run(&format!("COPY again FROM '{{dir}}/{file}' {reading}")), 3, "{file}");
        assert_eq!(place.rows("SELECT * FROM again ORDER BY id"), wanted, "{file}");
    }
}

#[test]
fn test_csv_text() {
    let place = Place::new();
    let copy = |query: &str, options: &str| {
        place.run(&format!("COPY ({query}) TO '{{dir}}/x.csv' {options}"));
        place.text("x.csv")
    };
    let odd = "SELECT 1 a, NULL b, '' c, 'x,y' d, 'q\"q' e, ' lead' f, 'nul' g, '#c' h";
    assert_eq!(
        copy(odd, "(HEADER false, NULLSTR 'nul')"),
        "1,nul,\"\",\"x,y\",\"q\"\"q\", lead,\"nul\",\"#c\"\n"
    );
    let few = "SELECT 1 a, NULL b, '' c";
    assert_eq!(copy(few, "(FORCE_QUOTE *)"), "\"a\",\"b\",\"c\"\n\"1\",,\"\"\n");
    assert_eq!(copy(few, "(FORCE_QUOTE (a))"), "\"a\",b,c\n\"1\",,\"\"\n");
    assert_eq!(copy("SELECT 1 b WHERE false", ""), "b\n");
    assert_eq!(
        copy(
            "SELECT 'nan'::DOUBLE a, 'inf'::DOUBLE b, 1e300 c, INTERVAL '1 month' d, 'a\\x00'::BLOB e, [1, NULL] f",
            ""
        ),
        "a,b,c,d,e,f\nnan,inf,1e+300,1 mon,a\\x00,\"[1, NULL]\"\n"
    );
    assert_eq!(
        copy(
            "SELECT ['a', 'b c', 'd''e', 'null', '', NULL] a, {'k': 1, 'l': 'x\"y'} b",
            "(HEADER false, DELIM '|')"
        ),
        "[a, b c, 'd\\'e', 'null', '', NULL]|\"{'k': 1, 'l': 'x\"\"y'}\"\n"
    );
}

#[test]
fn test_json_text() {
    let place = Place::new();
    let copy = |query: &str, options: &str| {
        place.run(&format!("COPY ({query}) TO '{{dir}}/x.json' {options}"));
        place.text("x.json")
    };
    let every = "SELECT 'nan'::DOUBLE a, 'inf'::DOUBLE b, '-inf'::FLOAT c, 1.0::DOUBLE d, 12.30::DECIMAL(5,2) g, \
                 [1, NULL] h, {'a': 1, 'b': 'x\"y'} i, DATE '2024-01-02' m, TIMESTAMP '2024-01-02 03:04:05.123' n, \
                 true q, 18446744073709551615::UBIGINT s, NULL v, [DATE '2024-01-02'] w";
    assert_eq!(
        copy(every, ""),
        "{\"a\":NaN,\"b\":Infinity,\"c\":-Infinity,\"d\":1.0,\"g\":12.30,\"h\":[1,null],\
         \"i\":{\"a\":1,\"b\":\"x\\\"y\"},\"m\":\"2024-01-02\",\"n\":\"2024-01-02 03:04:05.123\",\"q\":true,\
         \"s\":18446744073709551615,\"v\":null,\"w\":[\"2024-01-02\"]}\n"
    );
    assert_eq!(
        copy("SELECT x i FROM generate_series(0, 2) t(x)", "(ARRAY)"),
        "[\n\t{\"i\":0},\n\t{\"i\":1},\n\t{\"i\":2}\n]\n"
    );
    assert_eq!(copy("SELECT 1 i WHERE false", "(ARRAY)"), "[\n]\n");
    assert_eq!(copy("SELECT 1 a, 2 a, 3 \"A\"", ""), "{\"a\":1,\"a_1\":2,\"A_2\":3}\n");
}

#[test]
fn test_many_rows_keep_their_order_in_every_format() {
    let place = Place::new();
    place.run("CREATE TABLE big AS SELECT x AS id, x % 97 AS k, 'text ' || x % 1000 AS t FROM range(300000) r(x)");
    let wanted = place.rows("SELECT count(*), sum(id), sum(k), count(DISTINCT t) FROM big");
    for file in ["a.parquet", "a.csv", "a.csv.gz", "a.json", "a.jsonl.zst", "a.arrow", "a.arrows"] {
        place.run(&format!("COPY big TO '{{dir}}/{file}'"));
        let found = place.rows(&format!(
            "SELECT count(*), sum(id), sum(k), count(DISTINCT t) FROM '{{dir}}/{file}'"
        ));
        assert_eq!(found, wanted, "{file}");
        let ordered = place.rows(&format!(
            "SELECT count(*) FROM (SELECT id, row_number() OVER () - 1 AS n FROM '{{dir}}/{file}') q WHERE id <> n"
        ));
        assert_eq!(ordered, ["0"], "{file}");
    }
    place.run("COPY big TO '{dir}/b.parquet' (ROW_GROUP_SIZE 1000)");
    assert_eq!(place.rows("SELECT count(*) FROM '{dir}/b.parquet' WHERE id >= 299999"), ["1"]);
}

#[test]
fn test_partitions() {
    let place = Place::new();
    place.run("CREATE TABLE p AS SELECT x % 3 AS k, x AS v, CASE WHEN x = 2 THEN NULL ELSE 'a/b ' || x % 2 END AS s FROM range(6) r(x)");
    assert_eq!(place.run("COPY p TO '{dir}/out' (FORMAT csv, PARTITION_BY (k, s))"), 6);
    assert_eq!(
        place.files(),
        [
            "out/k=0/s=a%2Fb%200/data_0.csv",
            "out/k=0/s=a%2Fb%201/data_0.csv",
            "out/k=1/s=a%2Fb%200/data_0.csv",
            "out/k=1/s=a%2Fb%201/data_0.csv",
            "out/k=2/s=__HIVE_DEFAULT_PARTITION__/data_0.csv",
            "out/k=2/s=a%2Fb%201/data_0.csv",
        ]
    );
    let wanted = place.rows("SELECT v, k, s FROM p ORDER BY v");
    let read = "SELECT v, k, s FROM read_csv('{dir}/out/*/*/*.csv') ORDER BY v";
    assert_eq!(place.rows(read), wanted);
    let refused = place.error("COPY p TO '{dir}/out' (FORMAT csv, PARTITION_BY (k, s))");
    assert!(refused.contains("not empty") && refused.contains("OVERWRITE"), "{refused}");
    assert_eq!(place.run("COPY (SELECT 9 k, 7 v, 'z' s) TO '{dir}/out' (FORMAT csv, PARTITION_BY (k, s), OVERWRITE_OR_IGNORE)"), 1);
    assert_eq!(place.files().len(), 7);
    place.run("COPY p TO '{dir}/out' (FORMAT parquet, PARTITION_BY k, OVERWRITE)");
    assert_eq!(
        place.files(),
        ["out/k=0/data_0.parquet", "out/k=1/data_0.parquet", "out/k=2/data_0.parquet"]
    );
    assert_eq!(place.rows("SELECT v, k, s FROM '{dir}/out' ORDER BY v"), wanted);
    assert!(
        place
            .error("COPY (SELECT 1 k) TO '{dir}/o2' (FORMAT csv, PARTITION_BY (k))")
            .contains("key")
    );
    assert!(place.error("COPY p TO '{dir}/o2' (FORMAT csv, PARTITION_BY (zz))").contains("zz"));
    // A query that fails leaves no folder behind.
    let failing = "COPY (SELECT x AS k, 1 / (CASE WHEN x = 5000 THEN 0 ELSE 1 END) AS v, 'a'::INTEGER FROM range(9000) r(x)) TO '{dir}/o3' (FORMAT parquet, PARTITION_BY (k))";
    assert!(try_rows(&place.connection, &place.sql(failing)).is_err());
    assert_eq!(place.files().len(), 3);
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 1);
}

#[test]
fn test_a_copy_that_fails_leaves_the_old_file() {
    let place = Place::new();
    for file in ["a.parquet", "a.csv", "a.json", "a.arrow"] {
        place.write(file, "old");
        let failing = format!(
            "COPY (SELECT CAST(CASE WHEN x = 150000 THEN 'bad' ELSE '1' END AS INTEGER) v FROM range(200000) r(x)) TO '{{dir}}/{file}'"
        );
        assert!(place.error(&failing).contains("bad"), "{file}");
        assert_eq!(place.text(file), "old");
        assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 1, "{file}");
        fs::remove_file(place.path(file)).unwrap();
    }
    assert!(place.error("COPY (SELECT 1) TO '{dir}/none/x.csv'").contains("none/x.csv"));
    assert!(place.error("COPY (SELECT 1) TO '{dir}'").contains("format"));
    assert!(place.error("COPY (SELECT 1) TO '{dir}/x.foo'").contains("FORMAT"));
    for wrong in [
        "COPY (SELECT 1 a) TO '{dir}/x.csv' (BOGUS 1)",
        "COPY (SELECT 1 a) TO '{dir}/x.parquet' (DELIMITER ',')",
        "COPY (SELECT 1 a) TO '{dir}/x.csv' (ROW_GROUP_SIZE 3)",
        "COPY (SELECT 1 a) TO '{dir}/x.parquet' (COMPRESSION lzma)",
        "COPY (SELECT 1 a) TO '{dir}/x.parquet' (ROW_GROUP_SIZE 0)",
        "COPY (SELECT 1 a) TO '{dir}/x.csv' (DELIMITER '')",
        "COPY (SELECT 1 a) TO '{dir}/x.csv' (DELIMITER '\"')",
        "COPY (SELECT 1 a) TO '{dir}/x.csv' (FORCE_QUOTE (b))",
        "COPY (SELECT 1 a) TO '{dir}/x.csv' (HEADER, HEADER)",
        "COPY (SELECT 1 a) TO '{dir}/x.csv' HEADER FOO",
        "COPY nothing TO '{dir}/x.csv'",
        "COPY (SELECT 1 a) TO STDOUT",
        "COPY (SELECT {'a': INTERVAL '1 day'} a) TO '{dir}/x.parquet'",
        "COPY (SELECT INTERVAL '-1 day' a) TO '{dir}/x.parquet'",
        "COPY (SELECT INTERVAL '1 microsecond' a) TO '{dir}/x.parquet'",
    ] {
        place.error(wrong);
        assert!(place.files().is_empty(), "{wrong}");
    }
}

#[test]
fn test_copy_from_is_all_or_nothing() {
    let place = Place::new();
    place.run("CREATE TABLE t (a INTEGER NOT NULL, b VARCHAR)");
    place.run("INSERT INTO t VALUES (0, 'zero')");
    place.write("good.csv", "a,b\n1,one\n2,\n");
    assert_eq!(place.run("COPY t FROM '{dir}/good.csv'"), 2);
    assert_eq!(place.rows("FROM t"), ["0|zero", "1|one", "2|NULL"]);
    place.write("bad.csv", "a,b\n1,one\nx,two\n");
    let wrong = place.error("COPY t FROM '{dir}/bad.csv'");
    assert!(wrong.contains("bad.csv', line 3, column 'a'") && wrong.contains("INTEGER"), "{wrong}");
    place.write("bad.json", "{\"a\":1}\n{\"a\":1.5}\n");
    let wrong = place.error("COPY t FROM '{dir}/bad.json'");
    assert!(wrong.contains("bad.json', line 2, column 'a'"), "{wrong}");
    place.write("null.json", "{\"a\":1}\n{\"b\":\"x\"}\n");
    assert!(place.error("COPY t FROM '{dir}/null.json'").contains('a'));
    place.write("ragged.csv", "a,b\n1,one\n2,two,three\n");
    assert!(place.error("COPY t FROM '{dir}/ragged.csv'").contains("line 3"));
    assert_eq!(place.rows("SELECT count(*) FROM t"), ["3"]);
    place.write("cols.csv", "7\n8\n");
    assert_eq!(place.run("COPY t (a) FROM '{dir}/cols.csv' (HEADER false)"), 2);
    assert_eq!(place.rows("SELECT a, b FROM t WHERE a >= 7"), ["7|NULL", "8|NULL"]);
    place.write("swap.json", "{\"b\":\"x\",\"a\":9,\"c\":1}\n");
    place.run("COPY t FROM '{dir}/swap.json'");
    assert_eq!(place.rows("SELECT a, b FROM t WHERE a = 9"), ["9|x"]);
    place.run("COPY (SELECT 10 x, 'ten' y) TO '{dir}/other.parquet'");
    place.run("COPY t FROM '{dir}/other.parquet'");
    assert_eq!(place.rows("SELECT a, b FROM t WHERE a = 10"), ["10|ten"]);
    place.run("COPY (SELECT 10 x) TO '{dir}/few.parquet'");
    assert!(place.error("COPY t FROM '{dir}/few.parquet'").contains("2 columns"));
    assert!(place.error("COPY nothing FROM '{dir}/good.csv'").contains("nothing"));
    assert!(place.error("COPY t (zz) FROM '{dir}/good.csv'").contains("zz"));
    assert!(place.error("COPY t FROM '{dir}/missing.csv'").contains("missing.csv"));
    // Within a transaction the rows before it stay.
    place.run("BEGIN");
    place.run("INSERT INTO t VALUES (100, 'x')");
    place.error("COPY t FROM '{dir}/bad.csv'");
    place.run("COPY t FROM '{dir}/good.csv'");
    assert_eq!(place.rows("SELECT count(*) FROM t"), ["10"]);
    place.run("ROLLBACK");
    assert_eq!(place.rows("SELECT count(*) FROM t"), ["7"]);
}

#[test]
fn test_read_csv_options() {
    let place = Place::new();
    place.write("r.csv", "a,b,c\n1,2\n");
    let wrong = place.error("FROM '{dir}/r.csv'");
    assert!(
        wrong.contains("line 1") && wrong.contains("line 2") && wrong.contains("null_padding"),
        "{wrong}"
    );
    assert_eq!(place.rows("FROM read_csv('{dir}/r.csv', null_padding = true)"), ["1|2|NULL"]);
    assert!(place.rows("FROM read_csv('{dir}/r.csv', ignore_errors = true)").is_empty());
    place.write("s.csv", "a,b,c\n1,2\n3,4,5\n6,x,8\n9,10,11\n");
    let lax = "read_csv('{dir}/s.csv', ignore_errors = true, columns = {'a': 'INTEGER', 'b': 'INTEGER', 'c': 'INTEGER'})";
    assert_eq!(place.rows(&format!("FROM {lax}")), ["3|4|5", "9|10|11"]);
    // How many rows there are does not depend on the columns that are read.
    assert_eq!(place.rows(&format!("SELECT count(*) FROM {lax}")), ["2"]);
    assert_eq!(place.rows(&format!("SELECT a FROM {lax} WHERE c > 5")), ["9"]);
    assert_eq!(
        place.rows(
            "SELECT a, b, c FROM read_csv('{dir}/s.csv', null_padding = true, all_varchar = true)"
        ),
        ["1|2|NULL", "3|4|5", "6|x|8", "9|10|11"]
    );
    place.write("t.csv", "% it's \"odd\na,b\n1,2\n% more\n4,5\n");
    assert_eq!(place.rows("FROM read_csv('{dir}/t.csv', comment = '%')"), ["1|2", "4|5"]);
    place.run("COPY (SELECT 1 a, 2 b) TO '{dir}/packed' (FORMAT csv, COMPRESSION gzip)");
    assert_eq!(place.rows("FROM read_csv('{dir}/packed', compression = 'gzip')"), ["1|2"]);
    place.write("u1.csv", "a,b\n1,2\n");
    place.write("u2.csv", "b,c\n3,4\n");
    assert_eq!(
        place.rows("SELECT a, b, c, filename LIKE '%u_.csv' FROM read_csv(['{dir}/u1.csv', '{dir}/u2.csv'], union_by_name = true, filename = true)"),
        ["1|2|NULL|true", "NULL|3|4|true"]
    );
    place.run("COPY (SELECT 1 a, 2 b) TO '{dir}/u1.parquet'");
    place.run("COPY (SELECT 3 b, 4 c) TO '{dir}/u2.parquet'");
    let union = "read_parquet('{dir}/u*.parquet', union_by_name = true)";
    assert_eq!(place.rows(&format!("SELECT a, b, c FROM {union}")), ["1|2|NULL", "NULL|3|4"]);
}

#[test]
fn test_read_json_and_arrow() {
    let place = Place::new();
    place.write(
        "j.json",
        "{\"a\":1,\"b\":\"2024-01-02\"}\n{\"a\":2.5,\"c\":[1,2]}\n{\"a\":null,\"d\":{\"x\":1}}\n",
    );
    assert_eq!(
        place.rows("SELECT a, b, c, d.x FROM '{dir}/j.json'"),
        ["1.0|2024-01-02|NULL|NULL", "2.5|NULL|[1, 2]|NULL", "NULL|NULL|NULL|1"]
    );
    assert_eq!(
        place.rows("SELECT sum(a) FROM read_json_auto('{dir}/j.json') WHERE a > 1"),
        ["2.5"]
    );
    assert_eq!(
        place.rows("SELECT a, c, d.x FROM read_json('{dir}/j.json', columns = {'a': 'DOUBLE', 'c': 'INTEGER[]', 'd': 'STRUCT(x INTEGER)'})"),
        ["1.0|NULL|NULL", "2.5|[1, 2]|NULL", "NULL|NULL|1"]
    );
    place.write("k.json", "{\"a\":1}\nxx\n");
    let wrong = error(&place.connection, &place.sql("FROM read_ndjson('{dir}/k.json')"));
    assert_eq!(wrong.kind, ErrorKind::Io);
    assert!(wrong.to_string().contains("line 2"), "{wrong}");
    assert!(place.error("FROM read_json('{dir}/k.json', bogus = 1)").contains("bogus"));
    place.run("COPY (SELECT x a, 'text' || x b FROM range(1000) r(x)) TO '{dir}/x.arrow'");
    let bytes = fs::read(place.path("x.arrow")).unwrap();
    for end in [0, 5, 100, bytes.len() / 2, bytes.len() - 1] {
        fs::write(place.path("cut.arrow"), &bytes[..end]).unwrap();
        let wrong = place.error("SELECT sum(a) FROM '{dir}/cut.arrow'");
        assert!(wrong.contains("cut.arrow"), "{end}: {wrong}");
    }
    // Damage is found, or the answer is an answer: no panic.
    for at in (0..bytes.len()).step_by(bytes.len() / 200 + 1) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x41;
        fs::write(place.path("damaged.arrow"), &damaged).unwrap();
        let _ = try_rows(
            &place.connection,
            &place.sql("SELECT sum(length(b)) FROM '{dir}/damaged.arrow'"),
        );
        fs::remove_file(place.path("damaged.arrow")).unwrap();
    }
    assert_eq!(
        place.rows("SELECT count(*), max(b) FROM read_arrow('{dir}/x.arrow', filename = true)"),
        ["1000|text999"]
    );
}

#[test]
fn test_export_and_import() {
    let place = Place::new();
    place.run(EVERY_TYPE);
    place.run("CREATE OR REPLACE TABLE every AS SELECT * EXCLUDE (st) FROM every");
    place.run("CREATE TABLE \"odd Name\" (\"a b\" INTEGER NOT NULL, c VARCHAR)");
    place.run("INSERT INTO \"odd Name\" VALUES (1, ''), (2, NULL)");
    place.run("CREATE TABLE empty (x INTEGER)");
    place.run("CREATE VIEW v AS SELECT count(*) AS n FROM every");
    let queries = [
        "SELECT * FROM every ORDER BY id",
        "SELECT * FROM \"odd Name\" ORDER BY 1",
        "FROM empty",
        "FROM v",
    ];
    let wanted: Vec<_> = queries.iter().map(|query| place.rows(query)).collect();
    assert_eq!(place.run("EXPORT DATABASE '{dir}/out'"), 5);
    assert!(place.files().contains(&"out/schema.sql".to_owned()), "{:?}", place.files());
    assert!(place.error("EXPORT DATABASE '{dir}/out'").contains("not an empty folder"));
    fs::rename(place.path("out"), place.path("moved")).unwrap();
    let other = Database::open_in_memory().connect();
    other.execute(&place.sql("IMPORT DATABASE '{dir}/moved'")).unwrap();
    for (query, wanted) in queries.iter().zip(&wanted) {
        assert_eq!(rows(&other, query), *wanted, "{query}");
    }
    // A second import meets the tables that are there, and changes nothing.
    assert!(other.execute(&place.sql("IMPORT DATABASE '{dir}/moved'")).is_err());
    assert_eq!(rows(&other, "SELECT count(*) FROM every"), ["3"]);
    fs::write(place.path("moved/load.sql"), "COPY every FROM 'none.parquet';").unwrap();
    let third = Database::open_in_memory().connect();
    assert!(third.execute(&place.sql("IMPORT DATABASE '{dir}/moved'")).is_err());
    assert!(rows(&third, "SHOW TABLES").is_empty());
    place.run("DROP TABLE every");
    place.run("DROP VIEW v");
    place.run("EXPORT DATABASE '{dir}/csv' (FORMAT csv, DELIMITER '|')");
    let fourth = Database::open_in_memory().connect();
    fourth.execute(&place.sql("IMPORT DATABASE '{dir}/csv'")).unwrap();
    assert_eq!(rows(&fourth, "SELECT \"a b\" FROM \"odd Name\" ORDER BY 1"), ["1", "2"]);
}

/// Tables, rules, schemas, macros and views with names that need quotes, and values at the edges.
const DATABASE: &str = "CREATE SCHEMA \"odd Schema\";
    CREATE MACRO seven() AS 7;
    CREATE MACRO \"odd Schema\".eight() AS seven() + 1;
    CREATE MACRO \"odd Schema\".rows_of(least) AS TABLE SELECT i FROM \"odd Schema\".\"t \"\" q\" WHERE i >= least;
    CREATE TABLE \"odd Schema\".\"t \"\" q\" (i INTEGER PRIMARY KEY DEFAULT \"odd Schema\".eight(),
        \"a b\" VARCHAR NOT NULL DEFAULT 'it''s', c DECIMAL(38,5) CONSTRAINT \"Positive C\" CHECK (c > 0 AND c < seven() * 1e9),
        UNIQUE (c, \"a b\"));
    INSERT INTO \"odd Schema\".\"t \"\" q\" VALUES (1, '', 0.00001), (2, 'NULL', NULL), (DEFAULT, DEFAULT, 1);
    CREATE TABLE flat (id INTEGER, t VARCHAR, bl BLOB, d DOUBLE, f FLOAT, iv INTERVAL, ts TIMESTAMP, s TIMESTAMP_S,
        ms TIMESTAMP_MS, ns TIMESTAMP_NS, tz TIMESTAMPTZ, dt DATE, tm TIME, bo BOOLEAN, u UBIGINT, i8 TINYINT);
    CREATE UNIQUE INDEX \"flat Index\" ON flat (id DESC, t) INCLUDE (d QUANTILES);
    INSERT INTO flat VALUES
        (1, '', '\\x00\\xAB\"a,'::BLOB, 'nan'::DOUBLE, 'inf'::FLOAT, INTERVAL '-1 month 2 days 3.5 seconds', '2020-01-01 00:00:00.123456',
            '1960-01-01 00:00:01', '9999-12-31 00:00:00.001', '2262-01-01 00:00:00.000000001', '1500-01-01 00:00:00+02',
            '0001-01-01', '23:59:59.999999', true, 18446744073709551615, -128),
        (2, NULL, ''::BLOB, '-inf'::DOUBLE, 0.1::FLOAT, INTERVAL '0 days', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
        (3, ' #,\"x\"\n\\N\u{feff}', NULL, '-0.0'::DOUBLE, 1e-45::FLOAT, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE one (t VARCHAR);
    INSERT INTO one VALUES (''), (NULL), ('\u{feff}x'), (NULL);
    CREATE TABLE empty (x INTEGER);
    CREATE VIEW later AS SELECT i FROM \"odd Schema\".rows_of(2) UNION ALL SELECT seven();
    CREATE VIEW \"a view\" AS SELECT count(*) AS \"n o\" FROM later;
    CREATE TEMP TABLE mine (x INTEGER)";

const SAME: [&str; 10] = [
    "SELECT * FROM \"odd Schema\".\"t \"\" q\" ORDER BY 1",
    "SELECT * FROM flat ORDER BY id",
    "SELECT hex(bl), t IS NULL, length(t) FROM flat ORDER BY id",
    "SELECT t IS NULL, length(t) FROM one",
    "FROM \"a view\"",
    "FROM later ORDER BY 1",
    "SELECT \"odd Schema\".eight()",
    "DESCRIBE \"odd Schema\".\"t \"\" q\"",
    "SELECT schema_name, table_name, column_count FROM duckdb_tables() WHERE NOT temporary ORDER BY ALL",
    "DESCRIBE flat",
];

#[test]
fn test_an_export_gives_back_the_same_database() {
    let place = Place::new();
    for statement in DATABASE.split(";\n") {
        place.run(statement);
    }
    let nested = "CREATE TABLE nested (id INTEGER, l INTEGER[], s STRUCT(\"a b\" VARCHAR[], \"q\"\"\" STRUCT(c DOUBLE)), \
                  m MAP(VARCHAR, INTEGER), ls STRUCT(x TIMESTAMP_NS)[])";
    let values = "INSERT INTO nested SELECT 1, [1, NULL], {'a b': ['', NULL], 'q\"': {'c': 1.5}}, MAP {'k': 1}, \
                  [{'x': TIMESTAMP '2020-01-01'}] UNION ALL SELECT 2, [], NULL, NULL, NULL";
    for (format, extras) in [
        ("parquet", true),
        ("arrow", true),
        ("parquet, COMPRESSION zstd", true),
        ("json", true),
        ("json, COMPRESSION gzip", true),
        ("csv", false),
        ("csv, COMPRESSION gzip", false),
        ("csv, DELIMITER '|', QUOTE '''', NULL 'NULL', COMPRESSION zstd", false),
    ] {
        place.run("DROP TABLE IF EXISTS nested");
        let mut queries = SAME.to_vec();
        if extras {
            place.run(nested);
            place.run(values);
            queries.push("SELECT id, CAST(l AS VARCHAR), CAST(s AS VARCHAR), m['k'], ls[1].x FROM nested ORDER BY 1");
            queries.push("DESCRIBE nested");
        }
        if format.starts_with("parquet") {
            // Parquet has no such intervals.
            place.run("UPDATE flat SET iv = INTERVAL '2 days'");
        } else {
            place.run("UPDATE flat SET iv = INTERVAL '-1 month 2 days 3.5 seconds' WHERE id = 1");
        }
        let wanted: Vec<_> = queries.iter().map(|query| place.rows(query)).collect();
        let _ = fs::remove_dir_all(place.path("out=1"));
        place.run(&format!("EXPORT DATABASE '{{dir}}/out=1' (FORMAT {format})"));
        let other = Database::open_in_memory().connect();
        other.execute("CREATE SCHEMA elsewhere").unwrap();
        other.execute("USE elsewhere").unwrap();
        other.execute("CREATE TEMP TABLE flat (x INTEGER)").unwrap();
        other.execute(&place.sql("IMPORT DATABASE '{dir}/out=1'")).unwrap_or_else(|error| {
            panic!("{format}: {error}\n{}", place.text("out=1/schema.sql"))
        });
        other.execute("DROP TABLE temp.flat").unwrap();
        other.execute("DROP SCHEMA IF EXISTS other").unwrap();
        for (query, wanted) in queries.iter().zip(&wanted) {
            assert_eq!(rows(&other, query), *wanted, "{format}: {query}");
        }
        // A second export is the same text.
        let before = place.text("out=1/schema.sql") + &place.text("out=1/load.sql");
        assert!(before.contains("CREATE UNIQUE INDEX \"flat Index\""), "{before}");
        other.execute("USE main").unwrap();
        other.execute("DROP SCHEMA elsewhere").unwrap();
        fs::remove_dir_all(place.path("out=1")).unwrap();
        other
            .execute(&place.sql(&format!("EXPORT DATABASE '{{dir}}/out=1' (FORMAT {format})")))
            .unwrap();
        let after = place.text("out=1/schema.sql") + &place.text("out=1/load.sql");
        assert_eq!(after, before, "{format}");
    }
    let error = {
        place.run(nested.replace("nested", "more").as_str());
        place.error("EXPORT DATABASE '{dir}/refused' (FORMAT csv)")
    };
    assert!(error.contains("more.l") && error.contains("INTEGER[]"), "{error}");
    assert!(
        place.error("EXPORT DATABASE '{dir}/refused' (PARTITION_BY id)").contains("partition_by")
    );
    assert!(!place.path("refused").exists());
}

#[test]
#[cfg(unix)]
fn test_links_and_long_names() {
    let place = Place::new();
    place.run("CREATE TABLE t AS SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v(k, x)");
    let long = "n".repeat(250);
    place.run(&format!("COPY t TO '{{dir}}/{long}' (FORMAT csv)"));
    assert_eq!(place.text(&long), "k,x\n1,a\n2,b\n");
    std::os::unix::fs::symlink("real.csv", place.path("link.csv")).unwrap();
    place.run("COPY t TO '{dir}/link.csv'");
    assert!(place.path("link.csv").is_symlink());
    assert_eq!(place.text("real.csv"), "k,x\n1,a\n2,b\n");
    fs::create_dir(place.path("folder")).unwrap();
    std::os::unix::fs::symlink("folder", place.path("linked")).unwrap();
    place.run("COPY t TO '{dir}/linked' (FORMAT csv, PARTITION_BY k, OVERWRITE)");
    assert!(place.path("linked").is_symlink());
    assert_eq!(place.text("folder/k=2/data_0.csv"), "x\nb\n");
    // Where one file cannot be added, none is.
    fs::remove_dir_all(place.path("folder/k=1")).unwrap();
    fs::remove_file(place.path("folder/k=2/data_0.csv")).unwrap();
    fs::create_dir(place.path("folder/k=2/data_0.csv")).unwrap();
    place.error("COPY t TO '{dir}/linked' (FORMAT csv, PARTITION_BY k, OVERWRITE_OR_IGNORE)");
    let folders: Vec<_> = fs::read_dir(place.path("folder")).unwrap().collect();
    assert_eq!(folders.len(), 1);
    assert!(place.files().iter().all(|file| !file.contains(".tmp")), "{:?}", place.files());
}
