//! The documentation against the code: `docs/functions.md` is made of `tests/slt/functions/reference` and of the
//! functions' list, and what a page shows as SQL runs.
//!
//! `UPDATE_DOCS=1 cargo test -p stoadb-tests --test docs` writes `docs/functions.md` anew.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use stoadb::Database;
use stoadb_tests::rows::rows;

/// The files of the reference, in the order of the page.
const TOPICS: [&str; 10] = [
    "numbers",
    "texts",
    "patterns",
    "moments",
    "lists",
    "structs",
    "others",
    "aggregates",
    "windows",
    "tables",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Every function's name with its other names.
fn registered() -> BTreeMap<String, BTreeSet<String>> {
    let connection = Database::open_in_memory().connect();
    let sql = "SELECT function_name, coalesce(alias_of, function_name) FROM duckdb_functions()";
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for row in rows(&connection, sql) {
        let (name, declared) = row.split_once('|').unwrap();
        let others = found.entry(declared.to_owned()).or_default();
        if name != declared {
            others.insert(name.to_owned());
        }
    }
    found
}

/// A row of the reference: what the function takes, its meaning, an example, its answer.
struct Row {
    takes: String,
    meaning: String,
    example: String,
    answer: Vec<String>,
}

impl Row {
    fn name(&self) -> &str {
        self.takes.split('(').next().unwrap()
    }
}

/// The title of a reference file and its rows.
fn reference(topic: &str) -> (String, Vec<Row>) {
    let path = root().join(format!("tests/slt/functions/reference/{topic}.slt"));
    let text = fs::read_to_string(&path).unwrap();
    let title = text.strip_prefix("# ").and_then(|text| text.split(". ").next()).unwrap();
    let rows = text.split("\n#: ").skip(1).map(|part| {
        let (head, rest) = part.split_once('\n').unwrap();
        let (takes, meaning) =
            head.split_once(" -- ").unwrap_or_else(|| panic!("{head}: no meaning"));
        let mut lines = rest.lines().skip_while(|line| !line.starts_with("query")).skip(1);
        let example =
            lines.by_ref().take_while(|line| *line != "----").collect::<Vec<_>>().join(" ");
        let answer: Vec<_> = lines.take_while(|line| !line.is_empty()).map(str::to_owned).collect();
        assert!(!answer.is_empty(), "{head}: the example has no answer");
        let (takes, meaning) = (takes.to_owned(), meaning.to_owned());
        Row { takes, meaning, example: example.trim_start_matches("SELECT ").to_owned(), answer }
    });
    (title.to_owned(), rows.collect())
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn page() -> String {
    let registered = registered();
    let mut page = String::from(
        "# Functions\n\nMade of the list of functions and of `tests/slt/functions/reference`, whose examples the tests run: \
         do not\nwrite here. NULL among the arguments gives NULL unless the meaning says otherwise; [sql.md](sql.md) says \
         what\noperators, aggregates and windows have in common. `FROM duckdb_functions()` lists the names.\n",
    );
    for topic in TOPICS {
        let (title, rows) = reference(topic);
        write!(
            page,
            "\n## {title}\n\n| function | meaning | example | answer |\n|---|---|---|---|\n"
        )
        .unwrap();
        for row in rows {
            let others = registered.get(row.name()).into_iter().flatten();
            let others: Vec<_> = others.map(|name| format!("`{name}`")).collect();
            let others = if others.is_empty() {
                String::new()
            } else {
                format!("; also {}", others.join(", "))
            };
            let answer = row
                .answer
                .iter()
                .map(|line| format!("`{}`", cell(line)))
                .collect::<Vec<_>>()
                .join("<br>");
            let (takes, meaning) = (cell(&row.takes), cell(&row.meaning));
            writeln!(
                page,
                "| `{takes}`{others} | {meaning} | `{}` | {answer} |",
                cell(&row.example)
            )
            .unwrap();
        }
    }
    page
}

#[test]
fn test_the_page_of_functions_is_up_to_date() {
    let path = root().join("docs/functions.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap();
    let differs = found.lines().zip(page.lines()).find(|(found, wanted)| found != wanted);
    assert!(found == page, "docs/functions.md is old: UPDATE_DOCS=1 makes it anew\n{differs:?}");
}

#[test]
fn test_every_function_is_explained() {
    let explained: BTreeSet<String> = TOPICS
        .into_iter()
        .flat_map(|topic| reference(topic).1)
        .map(|row| row.name().to_owned())
        .collect();
    let described = fs::read_to_string(root().join("docs/sql.md")).unwrap();
    let missing: Vec<String> = registered()
        .into_keys()
        .filter(|name| !explained.contains(name) && !described.contains(&format!("`{name}")))
        .collect();
    assert!(missing.is_empty(), "neither the reference nor docs/sql.md explains {missing:?}");
}

/// The statements of a page's blocks of SQL.
fn statements(page: &str) -> Vec<String> {
    let blocks = page.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let statements = blocks.flat_map(|block| block.split(";\n")).map(|text| text.trim().to_owned());
    statements.filter(|text| text.lines().any(|line| !line.starts_with("--"))).collect()
}

#[test]
fn test_the_examples_of_the_pages_run() {
    let mut ran = 0;
    for page in ["README.md", "docs/sql.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        let text = text.replace("'examples/", &format!("'{}/examples/", root().display()));
        let connection = Database::open_in_memory().connect();
        for sql in statements(&text) {
            if let Err(error) =
                connection.query(&sql).and_then(|rows| rows.collect::<Result<Vec<_>, _>>())
            {
                panic!("{page}: {}", error.render(&sql));
            }
            ran += 1;
        }
    }
    assert!(ran >= 5, "only {ran} examples found");
}
