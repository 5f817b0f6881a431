//! SQL made from the statements of the SQL logic tests by mutation, and what StoaDB must never do with it: panic, hang, or
//! take memory without bound.
//!
//! Invariant: what is made depends on the corpus and the seed alone; it writes no files and leaves the limits as they are.

use std::{
    cell::Cell,
    panic,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use sqllogictest::{DefaultColumnType, Record};
use stoadb::{Connection, Database, ErrorKind};
use stoadb_benches::random::Random;

use crate::slt;

/// Most time of the processor that a statement may take: its time-out is a second, for two threads. What is not
/// optimised may take more.
const TIME_MAX: Duration = Duration::from_secs(if cfg!(debug_assertions) { 40 } else { 4 });
/// Most rows that are read of an answer.
const ROWS_MAX: usize = 5_000;
/// Mutants that share a database.
const MUTANTS: usize = 100;
/// Most bytes of a mutant.
const BYTES_MAX: usize = 20_000;

/// The statements of a file: those that must succeed, which make its tables, and all of them.
struct File {
    setup: Vec<String>,
    all: Vec<String>,
}

/// Words that no mutant contains: they write files, or change the limits that a run depends on.
const FORBIDDEN: [&str; 11] = [
    "copy",
    "export",
    "save",
    "import",
    "set ",
    "reset",
    "memory_limit",
    "timeout",
    "threads",
    "vacuum",
    "pragma",
];

fn forbidden(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    FORBIDDEN
        .iter()
        .any(|word| lower.contains(word) && !(*word == "set " && lower.starts_with("update ")))
}

fn corpus(folder: &Path) -> Vec<File> {
    let mut files = Vec::new();
    for path in slt::files(folder).unwrap() {
        let (mut setup, mut all) = (Vec::new(), Vec::new());
        for record in sqllogictest::parse_file::<DefaultColumnType>(&path).unwrap() {
            match record {
                Record::Statement { sql, expected, .. } if !forbidden(&sql) => {
                    if matches!(expected, sqllogictest::StatementExpect::Ok) {
                        setup.push(sql.clone());
                    }
                    all.push(sql);
                }
                Record::Query { sql, .. } if !forbidden(&sql) => all.push(sql),
                _ => {}
            }
        }
        if !all.is_empty() {
            files.push(File { setup, all });
        }
    }
    files
}

/// A statement as tokens, each with the blanks behind it.
fn tokens(sql: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let body = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            c if c.is_alphanumeric() || c == '_' => rest
                .find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.')
                .unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let blanks = rest[body..].find(|c: char| !c.is_whitespace()).unwrap_or(rest.len() - body);
        found.push(&rest[..body + blanks]);
        rest = &rest[body + blanks..];
    }
    found
}

const EDGES: [&str; 40] = [
    "NULL ",
    "0 ",
    "-1 ",
    "1e308 ",
    "9223372036854775807 ",
    "-9223372036854775808 ",
    "170141183460469231731687303715884105727 ",
    "0.5 ",
    "'' ",
    "'NaN'::DOUBLE ",
    "'inf'::DOUBLE ",
    "TRUE ",
    "* ",
    "DATE '9999-12-31' ",
    "DATE '0001-01-01' ",
    "INTERVAL '1 month' ",
    "[1, NULL] ",
    "[]",
    "{'a': 1} ",
    "MAP {'a': 1} ",
    "(SELECT 1) ",
    "(SELECT NULL) ",
    "OVER () ",
    "DISTINCT ",
    "ORDER BY 1 ",
    "GROUP BY ALL ",
    "LIMIT 0 ",
    "UNION ALL ",
    "COLUMNS(*) ",
    "CAST(NULL AS BLOB) ",
    "count(*) ",
    "FILTER (WHERE FALSE) ",
    "LATERAL ",
    "NOT ",
    "- ",
    "::DECIMAL(38,38) ",
    "::SMALLINT ",
    "1.5::DECIMAL(38,10) ",
    "range(3) ",
    "unnest([1, 2]) ",
];

struct Mutator<'a> {
    files: &'a [File],
    random: Random,
}

impl<'a> Mutator<'a> {
    fn below(&mut self, end: usize) -> usize {
        self.random.below(end.max(1) as u64) as usize
    }

    fn any_statement(&mut self) -> &'a str {
        let file = self.below(self.files.len());
        let statement = self.below(self.files[file].all.len());
        &self.files[file].all[statement]
    }

    /// A mutant of a statement.
    fn mutant(&mut self, sql: &'a str) -> String {
        let mut list: Vec<String> = tokens(sql).into_iter().map(str::to_owned).collect();
        // Mostly one change, so that many mutants get far; seldom many.
        let changes = [1, 1, 1, 1, 2, 2, 3, 6][self.below(8)];
        for _ in 0..changes {
            if list.is_empty() {
                break;
            }
            let at = self.below(list.len());
            match self.below(10) {
                0 => drop(list.remove(at)),
                1 => list.insert(at, list[at].clone()),
                2 => {
                    let other = self.below(list.len());
                    list.swap(at, other);
                }
                3 => list[at] = EDGES[self.below(EDGES.len())].to_owned(),
                4 => list.insert(at, EDGES[self.below(EDGES.len())].to_owned()),
                5 => self.splice(&mut list, at, false),
                6 => self.splice(&mut list, at, true),
                7 => {
                    let end = at + self.below(list.len() - at);
                    list.drain(at..end);
                }
                8 => self.nest(&mut list, at),
                _ => {
                    let end = (at + 1 + self.below(8)).min(list.len());
                    let run = list[at..end].to_vec();
                    for _ in 0..=self.below(20) {
                        list.splice(at..at, run.clone());
                    }
                }
            }
        }
        let mut text = list.concat();
        text.truncate(
            (0..=BYTES_MAX.min(text.len()))
                .rev()
                .find(|&at| text.is_char_boundary(at))
                .unwrap_or(0),
        );
        text
    }

    /// Puts a run of another statement's tokens in, or in the place of what follows.
    fn splice(&mut self, list: &mut Vec<String>, at: usize, replace: bool) {
        let other = tokens(self.any_statement());
        let from = self.below(other.len());
        let to = from + self.below(other.len() - from).min(40);
        let end = if replace { (at + to - from).min(list.len()) } else { at };
        list.splice(at..end, other[from..to].iter().map(|token| (*token).to_owned()));
    }

    /// Wraps a token deep.
    fn nest(&mut self, list: &mut [String], at: usize) {
        let (open, close) =
            [("(", ")"), ("(SELECT ", ")"), ("abs(", ")"), ("NOT (", ")"), ("[", "]"), ("- ", "")]
                [self.below(6)];
        let depth = [3, 30, 300][self.below(3)];
        list[at] = format!("{}{} {}", open.repeat(depth), list[at], close.repeat(depth));
    }
}

/// What a run found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Mutants that ran, and those among them that gave an answer.
    pub ran: usize,
    /// See `ran`.
    pub answered: usize,
    /// The mutants that did what they must not, with what it was.
    pub bad: Vec<String>,
}

static PANICS: AtomicUsize = AtomicUsize::new(0);
static LAST: Mutex<String> = Mutex::new(String::new());

fn connect(setup: &[String]) -> Connection {
    let connection = Database::open_in_memory().connect();
    for statement in ["SET memory_limit = '64MB'", "SET timeout = '1s'", "SET threads = 2"] {
        connection.execute(statement).unwrap();
    }
    for statement in setup {
        // Tables of other tests may be in the way; a mutant without its table is a mutant all the same.
        let _ = connection.execute(statement);
    }
    connection
}

/// The time of the processor that this process took so far, which a busy machine does not lengthen; the time that passes
/// where the system does not tell it.
fn time_taken(since: Instant) -> Duration {
    let ticks = || -> Option<u64> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    };
    ticks().map_or_else(|| since.elapsed(), |ticks| Duration::from_millis(ticks * 10))
}

/// What is wrong with how a statement ran, and whether it gave an answer.
fn run(connection: &Connection, sql: &str) -> (Option<String>, bool) {
    let before = PANICS.load(Ordering::SeqCst);
    let started = Instant::now();
    let at_first = time_taken(started);
    let answer = || -> Result<(), stoadb::Error> {
        let mut rows = 0;
        for batch in connection.query(sql)? {
            rows += batch?.num_rows();
            if rows > ROWS_MAX {
                break;
            }
        }
        Ok(())
    };
    let answered = panic::catch_unwind(panic::AssertUnwindSafe(answer));
    let took = match started.elapsed() {
        // Nobody needs to ask.
        short if short < TIME_MAX / 4 => short,
        _ => time_taken(started).saturating_sub(at_first),
    };
    let problem = match &answered {
        Err(_) => Some("a panic got out".to_owned()),
        Ok(Err(error)) if error.kind == ErrorKind::Internal => Some(error.to_string()),
        Ok(_) if PANICS.load(Ordering::SeqCst) > before => {
            Some(format!("a panic within: {}", LAST.lock().unwrap_or_else(PoisonError::into_inner)))
        }
        Ok(_) if took > TIME_MAX => Some(format!("took {took:?}")),
        Ok(_) => None,
    };
    (problem, matches!(answered, Ok(Ok(()))))
}

/// Looks after the statement that runs: one that takes a minute, and memory of more than 2 GiB, end the process with the
/// statement.
pub struct Watchdog(Arc<Mutex<(Instant, String)>>);

impl Watchdog {
    /// Begins to look.
    pub fn start() -> Self {
        const STUCK: Duration = Duration::from_secs(60);
        const BYTES_MAX: f64 = 2.0 * 1024.0 * 1024.0 * 1024.0;
        let current = Arc::new(Mutex::new((Instant::now(), String::new())));
        let seen = Arc::clone(&current);
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(200));
                let now = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let bytes = stoadb_benches::resident().unwrap_or(0.0);
                if now.0.elapsed() > STUCK || bytes > BYTES_MAX {
                    println!("stuck for {:?}, {bytes} bytes held:\n  {}", now.0.elapsed(), now.1);
                    std::process::exit(1);
                }
            }
        });
        Self(current)
    }

    /// A statement begins.
    pub fn runs(&self, sql: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), sql.to_owned());
    }
}

/// What a run is at.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A statement is about to run, for whoever looks after hangs.
    Runs(&'a str),
    /// A mutant did what it must not.
    Bad(&'a str),
}

/// Runs `inputs` mutants made from a seed, and tells `watch` how it goes.
pub fn fuzz(folder: &Path, seed: u64, inputs: usize, mut watch: impl FnMut(Event<'_>)) -> Findings {
    let files = corpus(folder);
    assert!(files.len() > 20, "only {} files with statements", files.len());
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|info| {
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string();
        PANICS.fetch_add(1, Ordering::SeqCst);
    }));
    let mut mutator = Mutator { files: &files, random: Random::new(seed) };
    let mut findings = Findings::default();
    let stop = Cell::new(false);
    while findings.ran < inputs && !stop.get() {
        let file = &files[mutator.below(files.len())];
        watch(Event::Runs("(tables)"));
        let connection = connect(&file.setup);
        for _ in 0..MUTANTS.min(inputs - findings.ran) {
            let statement = &file.all[mutator.below(file.all.len())];
            let sql = mutator.mutant(statement);
            findings.ran += 1;
            if forbidden(&sql) {
                continue;
            }
            watch(Event::Runs(&sql));
            let (problem, answered) = run(&connection, &sql);
            findings.answered += usize::from(answered);
            if let Some(problem) = problem {
                let bad = format!("{problem}\n  {sql}");
                watch(Event::Bad(&bad));
                findings.bad.push(bad);
                stop.set(findings.bad.len() >= 50);
            }
        }
    }
    panic::set_hook(hook);
    findings
}
