//! The rules of the house that a compiler does not check: sizes, headers, ASCII, the direction of dependencies.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most lines of any source file, and of an operator, kernel or lowering file before its tests.
const FILE_LINES_MAX: usize = 800;
const OPERATOR_LINES_MAX: usize = 400;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

fn sources() -> Vec<(String, String)> {
    let crates = ["storage", "engine", "query", "cli", "python", "tests", "benches", "xtask"];
    let mut folders: Vec<PathBuf> = crates.iter().map(|name| root().join(name)).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.len() > 50, "only {} source files found", found.len());
    found.sort();
    found
}

fn check(rule: impl Fn(&str, &str) -> Option<String>) {
    let broken: Vec<String> =
        sources().iter().filter_map(|(name, text)| rule(name, text)).collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn lines_before_tests(text: &str) -> usize {
    text.lines().take_while(|line| *line != "#[cfg(test)]").count()
}

#[test]
fn test_files_have_a_header() {
    check(|name, text| (!text.starts_with("//!")).then(|| format!("{name}: no `//!` header")));
}

#[test]
fn test_files_are_small() {
    check(|name, text| {
        let lines = text.lines().count();
        let is_test = name.contains("/tests/") || name.ends_with("tests.rs");
        let strict = ["engine/src/op/", "engine/src/kernel/", "query/src/lower/"];
        let strict = strict.iter().any(|folder| name.starts_with(folder)) && !is_test;
        if lines > FILE_LINES_MAX {
            return Some(format!("{name}: {lines} lines"));
        }
        let code = lines_before_tests(text);
        (strict && code > OPERATOR_LINES_MAX).then(|| format!("{name}: {code} lines before tests"))
    });
}

#[test]
fn test_sources_are_ascii() {
    check(|name, text| {
        let line = text.lines().position(|line| !line.is_ascii())?;
        Some(format!("{name}:{}: not ASCII", line + 1))
    });
}

#[test]
fn test_nothing_is_left_to_do() {
    // The words are taken apart so that this file does not find itself.
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["todo", "!("].concat()];
    check(|name, text| {
        let line = text.lines().position(|line| words.iter().any(|word| line.contains(word)))?;
        Some(format!("{name}:{}: unfinished business", line + 1))
    });
}

#[test]
fn test_dependencies_point_one_way() {
    let layers = [
        ("storage", &[][..]),
        ("engine", &["stoadb-storage"][..]),
        ("query", &["stoadb-storage", "stoadb-engine"][..]),
        ("cli", &["stoadb"][..]),
        ("python", &["stoadb"][..]),
    ];
    for (name, allowed) in layers {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for line in manifest.lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if dependency.starts_with("stoadb") && manifest_is_dependency(line) {
                assert!(allowed.contains(&dependency), "{name} depends on {dependency}");
            }
            assert!(
                name == "query" || !dependency.starts_with("datafusion"),
                "{name} names {dependency}: only query may"
            );
        }
    }
}

fn manifest_is_dependency(line: &str) -> bool {
    line.contains("workspace = true") || line.contains("path =") || line.contains("version =")
}

#[test]
fn test_only_query_names_the_planning_library() {
    check(|name, text| {
        let named = text.contains("datafusion_") || text.contains("datafusion::");
        (named && !name.starts_with("query/") && !name.starts_with("tests/tests/tidy"))
            .then(|| format!("{name}: names datafusion"))
    });
}

#[test]
fn test_the_map_names_files_that_exist() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let mut named = 0;
    for word in map.split(['`', ' ', '\n', '(', ')', ',']) {
        let crates =
            ["storage/", "engine/", "query/", "cli/", "python/", "tests/", "benches/", "xtask/"];
        if crates.iter().any(|name| word.starts_with(name)) && word.ends_with(".rs") {
            assert!(root().join(word).exists(), "docs/ARCHITECTURE.md names {word}");
            named += 1;
        }
    }
    assert!(named > 10, "the map names only {named} files");
}
