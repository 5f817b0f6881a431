//! Indexes through SQL: statements against a map of rows, in transactions or not, with every way of access, prepared
//! statements kept over all changes, and readers in other threads, who must see states that there were.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use stoadb::{Connection, Database, ErrorKind, Scalar, Statement};
use stoadb_benches::random::Random;

use super::{
    Tally,
    model::Cell,
    questions::{COLUMNS, Model, Question, answer_of, same},
};
use crate::rows::try_rows;

/// States that readers may see, the latest at the end.
#[derive(Default)]
struct States {
    /// The number of the first one that is kept, and the states.
    kept: Mutex<(u64, VecDeque<Arc<Model>>)>,
    /// How many are committed for sure.
    committed: AtomicU64,
}

/// So many are kept.
const KEPT: usize = 400;

impl States {
    fn lock(&self) -> MutexGuard<'_, (u64, VecDeque<Arc<Model>>)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A state that is about to be committed.
    fn announce(&self, model: &Model) {
        let (first, states) = &mut *self.lock();
        states.push_back(Arc::new(model.clone()));
        if states.len() > KEPT {
            states.pop_front();
            *first += 1;
        }
    }

    fn withdraw(&self) {
        self.lock().1.pop_back();
    }

    fn settle(&self) {
        self.committed.fetch_add(1, Ordering::SeqCst);
    }

    /// The states from a number on; `None` when they are forgotten.
    fn since(&self, number: u64) -> Option<Vec<Arc<Model>>> {
        let (first, states) = &*self.lock();
        let skip = number.checked_sub(*first)?;
        Some(states.iter().skip(skip as usize).cloned().collect())
    }
}

/// Ends other threads, also when this one panics.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

const INDEXES: [(&str, &str); 7] = [
    ("by_v", "(v) INCLUDE (d QUANTILES, x)"),
    ("by_v_d", "(v DESC, d) INCLUDE (id, s)"),
    ("by_d", "(d DESC) INCLUDE (v)"),
    ("by_s", "(s, v) INCLUDE (v QUANTILES, x QUANTILES)"),
    ("by_id", "(id) INCLUDE (d QUANTILES, v, x QUANTILES)"),
    ("by_x", "(x) INCLUDE (d)"),
    ("by_s_alone", "(s) INCLUDE (d QUANTILES)"),
];

/// A question about two numbers.
type Asked = fn(i64, i64) -> Question;

/// What is prepared once: with the question that it is, as a function of two numbers.
const PREPARED: [(&str, Asked); 4] = [
    (
        "SELECT count(*), count(d), sum(d), min(d), max(d) FROM t WHERE id >= $1 AND id <= $2",
        |a, b| Question::moments(3, 0, a, b),
    ),
    ("SELECT median(d), quantile_disc(d, 0.25) FROM t WHERE id >= $1 AND id <= $2", |a, b| {
        Question::quantiles(3, 0, a, b)
    }),
    (
        "SELECT count(*), count(v), sum(v), min(v), max(v) FROM t WHERE v >= $1 AND v <= $2",
        |a, b| Question::moments(1, 1, a, b),
    ),
    ("SELECT id, v, s, d, x FROM t WHERE d >= $1 AND d <= $2 ORDER BY id", |a, b| {
        Question::rows(3, a, b)
    }),
];

pub(super) fn round(seed: u64, tally: &Tally) {
    let random = Random::new(seed);
    let database = Database::open_in_memory();
    let connection = database.connect();
    connection
        .execute(
            "CREATE TABLE t (id BIGINT PRIMARY KEY, v INTEGER, s VARCHAR, d BIGINT, x DOUBLE);
             CREATE UNIQUE INDEX u ON t (s)",
        )
        .unwrap();
    let (states, over) = (States::default(), AtomicBool::new(false));
    states.announce(&Model::new());
    states.settle();
    thread::scope(|scope| {
        for number in 0..2 {
            let (database, states, over) = (&database, &states, &over);
            let mut random = Random::new(seed ^ (number + 1) << 40);
            scope.spawn(move || {
                let connection = database.connect();
                while !over.load(Ordering::Relaxed) {
                    read(&connection, states, &mut random, tally);
                }
            });
        }
        let _guard = Guard(&over);
        let (model, made) = (Model::new(), [false; INDEXES.len()]);
        let connection = &connection;
        let mut round = Round { connection, random, model, made, states: &states, tally };
        let prepared = PREPARED.map(|(sql, _)| connection.prepare(sql).unwrap());
        let steps = if cfg!(debug_assertions) { 20 } else { 150 };
        for _ in 0..steps {
            round.step();
            round.check_prepared(&prepared);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        database.save(&path).unwrap();
        let opened = Database::open(&path).unwrap().connect();
        for _ in 0..8 {
            let question = Question::random(&mut round.random);
            ask(&opened, &question, &round.model, tally);
        }
        // Where an index is built when it is needed.
        opened.execute("DELETE FROM t WHERE id % 3 = 0").unwrap();
        round.model.retain(|id, _| id % 3 != 0);
        for _ in 0..8 {
            let question = Question::random(&mut round.random);
            ask(&opened, &question, &round.model, tally);
        }
    });
}

fn ask(connection: &Connection, question: &Question, model: &Model, tally: &Tally) {
    let sql = question.sql();
    let found = try_rows(connection, &sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    let want = answer_of(question, model);
    assert!(same(&found, &want), "{sql}\n  {found:?}, not\n  {want:?}");
    Tally::count(&tally.answers);
}

/// Questions of one transaction, which must all be answered from one of the states between its beginning and its end.
fn read(connection: &Connection, states: &States, random: &mut Random, tally: &Tally) {
    let questions: Vec<Question> =
        (0..1 + random.below(3)).map(|_| Question::random(random)).collect();
    let way = ["auto", "index", "scan"][random.below(3) as usize];
    connection.execute(&format!("SET access_path = '{way}'")).unwrap();
    let before = states.committed.load(Ordering::SeqCst) - 1;
    connection.execute("BEGIN").unwrap();
    let answers: Vec<Vec<String>> = questions
        .iter()
        .map(|question| {
            let sql = question.sql();
            try_rows(connection, &sql).unwrap_or_else(|error| panic!("{error}: {sql}"))
        })
        .collect();
    connection.execute("COMMIT").unwrap();
    let Some(possible) = states.since(before) else { return };
    let fits = possible.iter().any(|model| {
        let mut pairs = questions.iter().zip(&answers);
        pairs.all(|(question, found)| same(found, &answer_of(question, model)))
    });
    if !fits {
        let sql: Vec<String> = questions.iter().map(Question::sql).collect();
        let last = possible.last().map(|model| answer_of(&questions[0], model));
        panic!(
            "a reader ({way}) saw no state of {}: {sql:?}\n  {answers:?}; of the last one\n  {last:?}",
            possible.len()
        );
    }
    Tally::count(&tally.read);
}

struct Round<'a> {
    connection: &'a Connection,
    random: Random,
    model: Model,
    made: [bool; INDEXES.len()],
    states: &'a States,
    tally: &'a Tally,
}

impl Round<'_> {
    fn below(&mut self, bound: u64) -> i64 {
        self.random.below(bound).cast_signed()
    }

    fn execute(&self, sql: &str) {
        self.connection.execute(sql).unwrap_or_else(|error| panic!("{error}: {sql}"));
    }

    fn step(&mut self) {
        match self.below(20) {
            0..2 => {
                let at = self.below(INDEXES.len() as u64) as usize;
                let (name, columns) = INDEXES[at];
                match self.made[at] {
                    true => self.execute(&format!("DROP INDEX {name}")),
                    false => self.execute(&format!("CREATE INDEX {name} ON t {columns}")),
                }
                self.made[at] = !self.made[at];
            }
            2 => self.execute("VACUUM"),
            3..9 => self.transaction(),
            _ => {
                let (sql, next) = self.statement(&self.model.clone());
                if let Some(next) = &next {
                    self.states.announce(next);
                }
                let done = self.run(&sql, next.is_some());
                if let Some(next) = next {
                    assert!(done);
                    self.model = next;
                    self.states.settle();
                }
            }
        }
        Tally::count(&self.tally.changes);
        let way = ["auto", "index", "scan", "statistics"][self.below(4) as usize];
        self.execute(&format!("SET access_path = '{way}'"));
        for _ in 0..2 {
            let question = Question::random(&mut self.random);
            ask(self.connection, &question, &self.model, self.tally);
        }
        let short = "SELECT DISTINCT index_name, entries FROM index_info('t')
            WHERE entries <> (SELECT count(*) FROM t)";
        assert_eq!(try_rows(self.connection, short).unwrap(), Vec::<String>::new());
    }

    /// Several statements, committed or not; a statement that is refused is undone alone.
    fn transaction(&mut self) {
        self.execute("BEGIN");
        let mut inner = self.model.clone();
        for _ in 0..1 + self.below(4) {
            let (sql, next) = self.statement(&inner);
            self.run(&sql, next.is_some());
            inner = next.unwrap_or(inner);
            let question = Question::random(&mut self.random);
            ask(self.connection, &question, &inner, self.tally);
        }
        if self.below(3) == 0 {
            self.execute("ROLLBACK");
            return;
        }
        self.states.announce(&inner);
        match self.connection.execute("COMMIT") {
            Ok(_) => {
                self.model = inner;
                self.states.settle();
            }
            Err(error) => {
                self.states.withdraw();
                panic!("{error}: COMMIT, with nobody else changing anything");
            }
        }
    }

    fn run(&self, sql: &str, fits: bool) -> bool {
        let result = self.connection.execute(sql);
        if let Err(error) = &result {
            let refused = matches!(error.kind, ErrorKind::Constraint | ErrorKind::Value);
            assert!(refused && !fits, "{error}: {sql}");
            Tally::count(&self.tally.refused);
        }
        assert_eq!(result.is_ok(), fits, "not refused: {sql}");
        result.is_ok()
    }

    fn check_prepared(&mut self, prepared: &[Statement<'_>; PREPARED.len()]) {
        let at = self.below(PREPARED.len() as u64) as usize;
        let (a, b) = (self.below(400) - 20, self.below(400) - 20);
        let question = PREPARED[at].1(a, b);
        let answer = prepared[at].query(&[Scalar::int64(a), Scalar::int64(b)]);
        let batches: Vec<_> = answer.unwrap().collect::<Result<_, _>>().unwrap();
        let mut found = Vec::new();
        for batch in batches {
            let columns: Vec<_> =
                batch.columns().iter().map(|c| stoadb::to_text(c).unwrap()).collect();
            for row in 0..batch.num_rows() {
                let cells = columns.iter().map(|column| {
                    use arrow::array::Array;
                    if column.is_null(row) { "NULL" } else { column.value(row) }
                });
                found.push(cells.collect::<Vec<_>>().join("|"));
            }
        }
        let want = answer_of(&question, &self.model);
        assert!(
            same(&found, &want),
            "prepared {} ({a}, {b})\n  {found:?}, not\n  {want:?}",
            question.sql()
        );
        Tally::count(&self.tally.answers);
    }

    fn row(&mut self) -> Vec<Cell> {
        let v = self.below(30);
        let (s, d, x) = (self.below(400), self.below(1000) - 500, self.below(80));
        vec![
            if v % 6 == 0 { Cell::Null } else { Cell::Int(v) },
            if self.below(3) == 0 { Cell::Null } else { Cell::Text(format!("s{s}")) },
            if d % 50 == 0 { Cell::Null } else { Cell::Int(d) },
            if x == 0 { Cell::Null } else { Cell::Double(x as f64 / 8.0 - 3.0) },
        ]
    }

    /// A statement and what it makes of the rows; `None` where it is to be refused.
    fn statement(&mut self, model: &Model) -> (String, Option<Model>) {
        let mut next = model.clone();
        let (m, r) = (2 + self.below(7), self.below(2));
        let (low, width) = (self.below(300), 1 + self.below(60));
        let new: Vec<(i64, Vec<Cell>)> =
            (0..1 + self.below(6)).map(|_| (self.below(300), self.row())).collect();
        let values: Vec<String> = new.iter().map(|(id, row)| literal(*id, row)).collect();
        let values = values.join(", ");
        match self.below(12) {
            0..3 => {
                let taken = new.iter().any(|(id, row)| next.insert(*id, row.clone()).is_some());
                (format!("INSERT INTO t VALUES {values}"), sound(next, taken))
            }
            3 => {
                for (id, row) in &new {
                    let text = row[1].text();
                    let taken =
                        text.is_some() && next.values().any(|other| other[1].text() == text);
                    if !next.contains_key(id) && !taken {
                        next.insert(*id, row.clone());
                    }
                }
                (format!("INSERT INTO t VALUES {values} ON CONFLICT DO NOTHING"), Some(next))
            }
            4 => {
                let mut twice = false;
                for (at, (id, row)) in new.iter().enumerate() {
                    twice |= new[..at].iter().any(|(other, _)| other == id);
                    match next.get_mut(id) {
                        Some(old) => (old[0], old[3]) = (row[0].clone(), row[3].clone()),
                        None => drop(next.insert(*id, row.clone())),
                    }
                }
                let sql = format!(
                    "INSERT INTO t VALUES {values} ON CONFLICT (id)
                     DO UPDATE SET v = excluded.v, x = excluded.x"
                );
                (sql, sound(next, twice))
            }
            5 => {
                // Keys move past each other.
                let moved =
                    next.into_iter().map(|(id, row)| (if id % m == r { id + m } else { id }, row));
                let moved: Vec<_> = moved.collect();
                let next: Model = moved.iter().cloned().collect();
                let taken = next.len() < moved.len();
                (format!("UPDATE t SET id = id + {m} WHERE id % {m} = {r}"), sound(next, taken))
            }
            6 => {
                for (_, row) in next.range_mut(low..low + width) {
                    row[0] = row[0].int().map_or(Cell::Null, |v| Cell::Int(v + 1));
                    row[2] = row[2].int().map_or(Cell::Null, |d| Cell::Int(d - m));
                }
                let high = low + width;
                let sql = format!(
                    "UPDATE t SET v = v + 1, d = d - {m} WHERE id >= {low} AND id < {high}"
                );
                (sql, Some(next))
            }
            7 => {
                next.retain(|_, row| row[0].int().is_none_or(|v| v % m != r));
                (format!("DELETE FROM t WHERE v % {m} = {r}"), Some(next))
            }
            8 => {
                next.retain(|id, _| !(low..=low + width).contains(id));
                (format!("DELETE FROM t WHERE id BETWEEN {low} AND {}", low + width), Some(next))
            }
            9 => self.merge(&new, next),
            10 => {
                // Many at once, beyond the others.
                let start = next.keys().next_back().map_or(0, |last| last + 1).max(400);
                let end = start + 1 + self.below(if model.len() > 3000 { 10 } else { 700 });
                for i in start..end {
                    let x = Cell::Double((i % 17) as f64 / 8.0);
                    next.insert(
                        i,
                        vec![Cell::Int(i * 7 % 29), Cell::Null, Cell::Int(i * 13 % 1009 - 500), x],
                    );
                }
                let sql = format!(
                    "INSERT INTO t SELECT i, i * 7 % 29, NULL, i * 13 % 1009 - 500, i % 17 / 8e0
                     FROM range({start}, {end}) r(i)"
                );
                (sql, Some(next))
            }
            _ => {
                let all = self.below(20) == 0;
                next.retain(|id, _| !all && id % 50 != r);
                let sql = if all {
                    "DELETE FROM t".into()
                } else {
                    format!("DELETE FROM t WHERE id % 50 = {r}")
                };
                (sql, Some(next))
            }
        }
    }

    fn merge(&self, new: &[(i64, Vec<Cell>)], mut next: Model) -> (String, Option<Model>) {
        let unique: BTreeMap<i64, Vec<Cell>> = new.iter().cloned().collect();
        for (id, row) in &unique {
            match next.get_mut(id) {
                Some(old) if old[2].int().is_some_and(|d| d < 0) => drop(next.remove(id)),
                Some(old) => old[0] = row[0].clone(),
                None => drop(next.insert(*id, row.clone())),
            }
        }
        let values: Vec<String> = unique.iter().map(|(id, row)| literal(*id, row)).collect();
        let sql = format!(
            "MERGE INTO t USING (VALUES {}) n({}) ON t.id = n.id
             WHEN MATCHED AND t.d < 0 THEN DELETE
             WHEN MATCHED THEN UPDATE SET v = n.v
             WHEN NOT MATCHED THEN INSERT VALUES (n.id, n.v, n.s, n.d, n.x)",
            values.join(", "),
            COLUMNS.join(", ")
        );
        (sql, sound(next, false))
    }
}

/// The rows, if their texts differ.
fn sound(model: Model, refused: bool) -> Option<Model> {
    let mut texts: Vec<&str> = model.values().filter_map(|row| row[1].text()).collect();
    texts.sort_unstable();
    let differ = texts.windows(2).all(|pair| pair[0] != pair[1]);
    (differ && !refused).then_some(model)
}

fn literal(id: i64, row: &[Cell]) -> String {
    let cell = |(at, cell): (usize, &Cell)| match cell {
        Cell::Null => format!("NULL::{}", ["INTEGER", "VARCHAR", "BIGINT", "DOUBLE"][at]),
        Cell::Int(value) => value.to_string(),
        Cell::Double(value) => format!("{value:?}::DOUBLE"),
        Cell::Text(text) => format!("'{text}'"),
    };
    let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
    format!("({id}, {})", cells.join(", "))
}
