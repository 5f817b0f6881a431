//! JSON files of every layout against what is expected of them, cut into small morsels.

use super::*;
use crate::{Relation, ScanSpec, types::LogicalType};

/// The columns (`name type`) and the rows of files, values joined by `|`.
fn read_with(
    texts: &[&str],
    options: &JsonOptions,
    morsel_bytes: u64,
) -> Result<(Vec<String>, Vec<String>), String> {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        let path = folder.path().join(format!("{number}.json"));
        std::fs::write(&path, text).unwrap();
        paths.push(path.to_str().unwrap().to_owned());
    }
    let prefix = format!("{}/", folder.path().display());
    let plain = |error: crate::StorageError| error.to_string().replace(&prefix, "");
    let relation = JsonDataset::open_in_morsels(&paths, options, morsel_bytes).map_err(plain)?;
    let columns: Vec<String> =
        relation.schema().columns.iter().map(|c| format!("{} {}", c.name, c.ty)).collect();
    let spec = ScanSpec {
        projection: (0..columns.len()).collect(),
        prune: None,
        filter: None,
        rows: None,
        vector_size: 3,
        ledger: relation.ledger(),
    };
    let scan = relation.scan(spec).map_err(plain)?;
    let mut rows = Vec::new();
    for morsel in 0..scan.morsels() {
        let mut morsel = scan.open(morsel).map_err(plain)?;
        while let Some(batch) = morsel.next().map_err(plain)? {
            for row in 0..batch.rows {
                let cell = |vector: &crate::Vector| vector.scalar(row).unwrap().to_string();
                rows.push(batch.columns.iter().map(cell).collect::<Vec<_>>().join("|"));
            }
        }
    }
    Ok((columns, rows))
}

fn read(text: &str) -> (Vec<String>, Vec<String>) {
    let options = JsonOptions::default();
    let whole = read_with(&[text], &options, 1 << 20).unwrap();
    for size in [1, 2, 7, 30] {
        assert_eq!(read_with(&[text], &options, size).unwrap(), whole, "morsels of {size}");
    }
    whole
}

fn error(text: &str) -> String {
    read_with(&[text], &JsonOptions::default(), 1 << 20).unwrap_err()
}

#[test]
fn test_layouts_give_the_same_rows() {
    let lines = "{\"a\":1,\"b\":\"x\"}\n{\"b\":null,\"a\":2}\r\n\n   {\"b\":\"y\"}\n{}\nnull";
    let wanted = read(lines);
    assert_eq!(wanted.0, ["a BIGINT", "b VARCHAR"]);
    assert_eq!(wanted.1.len(), 5);
    for text in [
        "[{\"a\":1,\"b\":\"x\"},{\"b\":null,\"a\":2} , {\"b\":\"y\"},\n{},null]\n",
        "{\"a\":1,\n\"b\":\"x\"}{\"b\":null,\"a\":2} {\"b\":\"y\"}{}null",
        "\u{feff}{\"a\":1,\"b\":\"x\"}\n{\"b\":null,\"a\":2}\n{\"b\":\"y\"}\n{}\nnull\n",
    ] {
        assert_eq!(read(text), wanted, "{text}");
    }
}

#[test]
fn test_types_of_samples() {
    let ty = |values: &[&str]| {
        let lines: Vec<String> = values.iter().map(|v| format!("{{\"a\":{v}}}")).collect();
        read(&lines.join("\n")).0[0].trim_start_matches("a ").to_owned()
    };
    for (values, wanted) in [
        (&["null"][..], "VARCHAR"),
        (&["1", "null", "-5"], "BIGINT"),
        (&["1", "1.5"], "DOUBLE"),
        (&["1e5", "NaN", "-Infinity"], "DOUBLE"),
        (&["9223372036854775808", "1"], "DECIMAL(38,0)"),
        (&["9223372036854775808", "1.0"], "DOUBLE"),
        (&["true", "false"], "BOOLEAN"),
        (&["true", "1"], "VARCHAR"),
        (&["\"2024-01-02\"", "null"], "DATE"),
        (&["\"2024-01-02 03:04:05\""], "TIMESTAMP"),
        (&["\"2024-01-02T03:04:05Z\""], "TIMESTAMP WITH TIME ZONE"),
        (&["\"2024-01-02\"", "\"x\""], "VARCHAR"),
        (&["\"1\"", "\"2\""], "VARCHAR"),
        (&["\"1.5\""], "VARCHAR"),
        (&["\"-1\""], "VARCHAR"),
        (&["\"true\""], "VARCHAR"),
        (&["[]"], "VARCHAR[]"),
        (&["[1,2]", "[null]", "[2.5]"], "DOUBLE[]"),
        (&["[1]", "1"], "VARCHAR"),
        (&["{\"x\":1}", "{\"y\":[true]}"], "STRUCT(x BIGINT, y BOOLEAN[])"),
        (&["{}"], "VARCHAR"),
    ] {
        assert_eq!(ty(values), wanted, "{values:?}");
    }
}

#[test]
fn test_values_are_exact() {
    let (_, rows) = read(
        "{\"a\":\"q\\\"\\u00e9\\ud83d\\ude00\\n\",\"b\":[1,null],\"c\":{\"x\":-0.0}}\n{\"a\":\"\",\"c\":{}}\n",
    );
    assert!(rows[0].contains("q\"\u{e9}\u{1f600}\n"), "{rows:?}");
    let (columns, rows) = read("{\"a\":1}\n{\"a\":[1, {\"b\": 2}]}\n{\"a\":\"text\"}\n");
    assert_eq!(columns, ["a VARCHAR"]);
    assert!(rows[1].contains("[1, {\"b\": 2}]") && rows[2].contains("text"), "{rows:?}");
    let (columns, _) = read("{\"a\":1,\"A\":2}\n");
    assert_eq!(columns, ["a BIGINT", "A_1 BIGINT"]);
    let (columns, rows) = read("[1,2,\n3]");
    assert_eq!((columns, rows.len()), (vec!["json BIGINT".to_owned()], 3));
}

#[test]
fn test_options() {
    let columns = |text: &str, columns: &[(&str, LogicalType)]| {
        let columns = columns.iter().map(|(name, ty)| (name.to_string(), ty.clone())).collect();
        let options = JsonOptions { columns: Some(columns), ..JsonOptions::default() };
        read_with(&[text], &options, 1 << 20)
    };
    let text = "{\"a\":1,\"b\":{\"c\":\"2\"},\"d\":4}\n{\"a\":\"7\"}\n";
    let found = columns(text, &[("a", LogicalType::Int8), ("zz", LogicalType::Text)]).unwrap();
    assert_eq!(found.0, ["a TINYINT", "zz VARCHAR"]);
    assert_eq!(found.1.len(), 2);
    let wrong = columns("{\"a\":1}\n{\"a\":300}\n", &[("a", LogicalType::Int8)]).unwrap_err();
    assert!(wrong.contains("line 2, column 'a': 300 is not of the type TINYINT"), "{wrong}");
    let wrong = columns("{\"a\":1}\n", &[("a", LogicalType::Interval)]).unwrap_err();
    assert!(wrong.contains("INTERVAL"), "{wrong}");
    let options = JsonOptions { filename: true, ..JsonOptions::default() };
    let (columns, rows) = read_with(&["{\"a\":1}\n", "{\"b\":2.5}\n"], &options, 1 << 20).unwrap();
    assert_eq!(columns, ["a BIGINT", "b DOUBLE", "filename VARCHAR"]);
    assert!(rows[0].starts_with("1|NULL|") && rows[1].starts_with("NULL|2.5|"), "{rows:?}");
}

#[test]
fn test_malformed_files_name_the_line() {
    for (text, line, what) in [
        ("{\"a\":1}\n{\"a\":\n", 2, "does not end"),
        ("{\"a\":1}\nxx\n", 2, "a value is expected"),
        ("{\"a\":1}\n{\"a\":01}\n", 2, "does not begin with 0"),
        ("{\"a\":1}\n{\"a\":1,}\n", 2, "a key"),
        ("{\"a\":1}\n{a:1}\n", 2, "a key"),
        ("{\"a\":1}\n{\"a\":\"\t\"}\n", 2, "control character"),
        ("{\"a\":1}\n{\"a\":\"\\x\"}\n", 2, "escape"),
        ("{\"a\":1}\n{\"a\":1} {\"a\":2}\n{\"a\":1}x", 3, "a value is expected"),
        ("{\"a\":1}\n{\"a\":1,\"a\":2}\n", 2, "stands twice"),
        ("{\"a\":1}\n5\n", 1, "an object is expected"),
        ("[{\"a\":1}\n{\"a\":2}]", 2, "',' or ']'"),
        ("[{\"a\":1},\n]", 2, "a value is expected"),
        ("[{\"a\":1},\n{\"a\":2}", 2, "ends within the array"),
        ("[{\"a\":1}]\n7", 2, "more follows"),
    ] {
        match text.contains("5\n") {
            // Objects and others together are texts.
            true => assert_eq!(read(text).0, ["json VARCHAR"]),
            false => {
                let error = error(text);
                assert!(error.contains(&format!("line {line}")), "{text}: {error}");
                assert!(error.contains(what), "{text}: {error}");
            }
        }
    }
    for text in ["", " \n", "[]"] {
        assert!(error(text).contains("no object"), "{text}");
    }
    assert!(error("{\"a\":\"\u{0}\"}").contains("control"));
    let options = JsonOptions { sample_rows: 1, ..JsonOptions::default() };
    let late = |text: &str| read_with(&[text], &options, 5).unwrap_err();
    assert!(late("{\"a\":1}\n{\"a\":\"x\"}\n").contains("line 2, column 'a': \"x\" is not of"));
    assert!(late("{\"a\":1}\n{\"b\":1}\n").contains("line 2: the key \"b\""));
    assert!(late("{\"a\":1}\n{\"a\":\n1}\n").contains("line 2"));
    assert!(late("{\"a\":[{\"x\":1}]}\n{\"a\":[{\"y\":1}]}\n").contains("the key \"y\""));
}

#[test]
fn test_no_prefix_of_a_file_is_read_as_another() {
    let text = "{\"a\":1,\"b\":[1,{\"c\":\"x\\u00e9\"}]}\n{\"a\":2,\"b\":null}\n";
    let whole = read(text).1;
    for end in 0..text.len() {
        if let Ok((_, rows)) = read_with(&[&text[..end]], &JsonOptions::default(), 9) {
            // Whole lines only; a number at the end of a file cannot stand outside of an object here.
            assert!(rows.len() < 3 && whole.len() == 2, "{end}: {rows:?}");
            assert!(text[..end].trim_end().ends_with('}'), "{end}");
        }
    }
}
