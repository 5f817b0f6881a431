//! Random queries against DuckDB and SQLite for a minute (`tests/fuzz/differential.py`), on machines that have Python.
//!
//! DuckDB is taken from the Python that is there, or installed once into `target/fuzz`. Where neither works the test
//! says on standard error that nothing was compared.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

fn works(python: &Path) -> bool {
    let test = "import duckdb; assert duckdb.__version__.startswith('2.')";
    Command::new(python).args(["-c", test]).output().is_ok_and(|output| output.status.success())
}

/// A Python with DuckDB, or why there is none.
fn python(target: &Path) -> Result<PathBuf, String> {
    let system = PathBuf::from("python3");
    if works(&system) {
        return Ok(system);
    }
    let folder = target.join("fuzz");
    let own = folder.join("bin/python");
    if works(&own) {
        return Ok(own);
    }
    let steps: [(&Path, &[&str]); 2] = [
        (&system, &["-m", "venv", &folder.display().to_string()]),
        (&own, &["-m", "pip", "install", "--quiet", "duckdb==2.0.*"]),
    ];
    for (program, args) in steps {
        let output = Command::new(program).args(args).output();
        let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
    }
    Ok(own)
}

#[test]
fn test_random_queries_answer_as_in_duckdb_and_sqlite() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let server = Path::new(env!("CARGO_BIN_EXE_sql_lines"));
    let target = server.parent().and_then(Path::parent).unwrap();
    let python = match python(target) {
        Ok(python) => python,
        Err(reason) => {
            // Not by a macro, whose output a passing test hides.
            let mut out = std::io::stderr().lock();
            writeln!(out, "NOT RUN: random queries need Python with duckdb 2.0: {reason}").unwrap();
            return;
        }
    };
    let mut command = Command::new(python);
    command.arg(root.join("fuzz/differential.py")).arg("--server").arg(server);
    let output = command.args(["--seed", "1", "--seconds", "60"]).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    println!("{report}");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}\n{error}");
}
