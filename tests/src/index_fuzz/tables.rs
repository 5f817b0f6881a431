//! Tables with indexes in a catalog: transactions that change, go back to savepoints, overlap, commit or do not; compaction and
//! merging beside them; versions of before asked in other threads.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use stoadb_benches::random::Random;
use stoadb_storage::{
    Catalog, ColumnDef, Relation, Schema, Segment, SegmentBuilder, StorageError, TableVersion,
    Transaction, Vector,
    catalog::IfExists,
    index::Serial,
    table::{
        IndexDefinition, IndexInclude, IndexKey, IndexKind, KeyRule, TableRules, Thoroughness,
    },
};

use super::{
    Tally,
    model::{Cell, Entries, Kind, Row, Shape, check},
};

/// `id` is the primary key, `v` and `s` together are unique where both are there.
const COLUMNS: [(&str, Kind); 5] = [
    ("id", Kind::Int64),
    ("v", Kind::Int32),
    ("s", Kind::Text),
    ("d", Kind::Double),
    ("t", Kind::Timestamp),
];

/// By id, with a number that no other row ever has.
type Rows = BTreeMap<i64, (u64, Row)>;
/// A version for the readers.
type Held = (Arc<TableVersion>, Rows, u64);

fn schema() -> Arc<Schema> {
    let column = |&(name, kind): &(&str, Kind)| ColumnDef::new(name, kind.ty());
    Arc::new(Schema::new(COLUMNS.iter().map(column).collect()))
}

fn rules(random: &mut Random) -> TableRules {
    let mut indexes =
        vec![definition("pair", IndexKind::Unique, &[(1, false), (2, true)], &[(3, true)])];
    for at in 0..3 {
        let pick = |random: &mut Random| (random.below(5) as usize, random.below(2) == 0);
        let keys: Vec<_> = (0..1 + random.below(2)).map(|_| pick(random)).collect();
        let includes: Vec<_> = (0..random.below(3)).map(|_| pick(random)).collect();
        indexes.push(definition(&format!("i{at}"), IndexKind::Plain, &keys, &includes));
    }
    let key = KeyRule { name: None, columns: vec![0], primary: true };
    TableRules { keys: vec![key], indexes, ..TableRules::default() }
}

fn definition(
    name: &str,
    kind: IndexKind,
    keys: &[(usize, bool)],
    includes: &[(usize, bool)],
) -> IndexDefinition {
    let key = |&(column, descending): &(usize, bool)| IndexKey { column, descending };
    let include = |&(column, quantiles): &(usize, bool)| IndexInclude { column, quantiles };
    IndexDefinition {
        name: Some(name.into()),
        kind,
        keys: keys.iter().map(key).collect(),
        includes: includes.iter().map(include).collect(),
    }
}

fn segment(rows: &[Row]) -> Arc<Segment> {
    let mut builder = SegmentBuilder::new(schema());
    let column = |(at, (_, kind)): (usize, &(&str, Kind))| {
        let cells: Vec<&Cell> = rows.iter().map(|row| &row[at]).collect();
        Vector::Flat(kind.array(&cells))
    };
    let vectors: Vec<Vector> = COLUMNS.iter().enumerate().map(column).collect();
    builder.push(&vectors, None).unwrap();
    Arc::new(builder.finish().unwrap())
}

/// The positions of a table's rows by id, read from its segments, where deletions are marked.
fn positions(table: &TableVersion) -> BTreeMap<i64, (u64, Row)> {
    let (mut found, mut start) = (BTreeMap::new(), 0);
    for part in table.parts() {
        let rows = part.segment.rows();
        let read = |column: &stoadb_storage::table::Column| column.read(0..rows).unwrap();
        let columns: Vec<Vector> = part.segment.columns().iter().map(read).collect();
        for row in 0..rows {
            if !part.deletes.as_ref().is_some_and(|mask| mask.is_deleted(row)) {
                let cell = |column: &Vector| Cell::of(&column.scalar(row).unwrap());
                let cells: Row = columns.iter().map(cell).collect();
                found.insert(cells[0].int().unwrap(), (start + row as u64, cells));
            }
        }
        start += rows as u64;
    }
    found
}

/// That a table has these rows, and that its indexes answer as the rows do.
fn check_table(table: &TableVersion, rows: &Rows, random: &mut Random) -> u64 {
    assert_eq!(table.rows(), rows.len() as u64);
    let found = positions(table);
    assert_eq!(found.len(), rows.len());
    for ((id, (_, found)), (other, (_, want))) in found.iter().zip(rows) {
        let same = found.iter().zip(want).all(|(a, b)| a.order(b).is_eq());
        assert!(id == other && same, "row {id} {found:?}, not {other} {want:?}");
    }
    let mut answers = 1;
    for index in table.indexes() {
        let definition = index.definition();
        let shape = Shape {
            kinds: COLUMNS.iter().map(|(_, kind)| *kind).collect(),
            keys: definition.keys.iter().map(|key| (key.column, key.descending)).collect(),
            includes: definition.includes.iter().map(|i| (i.column, i.quantiles)).collect(),
        };
        let entry = |(at, row): &(u64, Row)| (shape.key(*at, row), row.clone());
        let entries: Entries = found.values().map(entry).collect();
        answers += check(&index.index().unwrap(), &shape, &entries, random, 1);
    }
    answers
}

/// What a transaction sees and did.
#[derive(Clone, Default)]
struct View {
    sees: Rows,
    /// Of the rows that were there before it, those that it deleted, with their numbers.
    gone: BTreeSet<(i64, u64)>,
    /// The ids of rows that it added and did not delete again.
    added: BTreeSet<i64>,
}

/// A transaction.
struct Open {
    transaction: Transaction,
    view: View,
    /// Whether something else was committed or compacted since it began.
    overtaken: bool,
}

/// That all pairs of `v` and `s` differ, NULLs left out.
fn is_sound(rows: &Rows) -> bool {
    let mut seen = BTreeSet::new();
    let mut pairs = rows.values().filter_map(|(_, row)| Some((row[1].int()?, row[2].text()?)));
    pairs.all(|pair| seen.insert(pair))
}

struct Round<'a> {
    catalog: Arc<Catalog>,
    committed: Rows,
    random: Random,
    /// The next row's number.
    number: u64,
    ids: u64,
    tally: &'a Tally,
}

pub(super) fn round(seed: u64, tally: &Tally) {
    let mut random = Random::new(seed);
    let catalog = Catalog::new();
    let rules = Arc::new(rules(&mut random));
    let table = TableVersion::new(schema(), &[]).unwrap().with_rules(rules, &Serial).unwrap();
    let mut first = catalog.begin();
    first.create_table("t", table, IfExists::Fail).unwrap();
    first.commit().unwrap();
    let ids = [60, 2_000, 1 << 40][random.below(3) as usize];
    let (sender, receiver) = mpsc::channel::<Held>();
    let receiver = Mutex::new(receiver);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let receiver = &receiver;
        scope.spawn(move || {
            loop {
                let held = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((table, rows, seed)) = held else { break };
                check_table(&table, &rows, &mut Random::new(seed));
                Tally::count(&tally.read);
            }
        });
        let (merging, over) = (Arc::clone(&catalog), &over);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                merging.merge_indexes("t").unwrap();
                thread::sleep(Duration::from_micros(300));
            }
        });
        let _guard = Guard(over);
        let mut round = Round { catalog, committed: Rows::new(), random, number: 0, ids, tally };
        round.run(&sender);
        drop(sender);
    });
}

/// Ends other threads, also when this one panics.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Round<'_> {
    fn run(&mut self, readers: &mpsc::Sender<Held>) {
        let mut open: Vec<Open> = Vec::new();
        let steps = if cfg!(debug_assertions) { 40 } else { 120 };
        for _ in 0..steps {
            if open.is_empty() || (open.len() < 2 && self.random.below(6) == 0) {
                open.push(self.begin());
            }
            let at = self.random.below(open.len() as u64) as usize;
            match self.random.below(10) {
                0 => {
                    // Rolled back.
                    open.remove(at).transaction.rollback();
                }
                1 | 2 => {
                    let done = open.remove(at);
                    if self.commit(done) {
                        open.iter_mut().for_each(|other| other.overtaken = true);
                    }
                }
                3 => {
                    let (savepoint, view) =
                        (open[at].transaction.savepoint(), open[at].view.clone());
                    for _ in 0..1 + self.random.below(3) {
                        self.change(&mut open[at]);
                    }
                    if self.random.below(2) == 0 {
                        open[at].transaction.rollback_to(savepoint);
                        open[at].view = view;
                    }
                }
                4 if self.random.below(2) == 0 => {
                    let always = self.random.below(3) == 0;
                    if self.compact(always || open.is_empty()) {
                        open.iter_mut().for_each(|other| other.overtaken = true);
                    }
                }
                _ => self.change(&mut open[at]),
            }
            Tally::count(&self.tally.changes);
            if let (Some(one), 0) = (open.first(), self.random.below(3)) {
                let table = Arc::clone(one.transaction.snapshot().table("t").unwrap());
                if self.random.below(2) == 0 {
                    let answers = check_table(&table, &one.view.sees, &mut self.random);
                    self.tally.answers.fetch_add(answers, Ordering::Relaxed);
                } else {
                    let _ = readers.send((table, one.view.sees.clone(), self.random.bits()));
                }
            }
        }
        open.clear();
        self.compact(true);
        let table = Arc::clone(self.catalog.snapshot().table("t").unwrap());
        check_table(&table, &self.committed, &mut self.random);
    }

    fn begin(&mut self) -> Open {
        let view = View { sees: self.committed.clone(), ..View::default() };
        Open { transaction: self.catalog.begin(), view, overtaken: false }
    }

    fn compact(&mut self, always: bool) -> bool {
        let table = Arc::clone(self.catalog.snapshot().table("t").unwrap());
        let groups = table.compaction(Thoroughness::Whole);
        let made = groups.into_iter().map(|group| {
            let segment = table.compacted_group(&group).unwrap();
            (group, segment)
        });
        let compacted = table.compacted(made.collect()).unwrap();
        self.catalog.put_compacted("t", &table, compacted, always)
    }

    /// Commits, if that is possible; then the committed rows are what both made of them.
    fn commit(&mut self, open: Open) -> bool {
        let Open { transaction, view, overtaken } = open;
        let mut next = self.committed.clone();
        let mut sound = true;
        for (id, number) in &view.gone {
            sound &= next.remove(id).is_some_and(|row| row.0 == *number);
        }
        for id in &view.added {
            sound &= next.insert(*id, view.sees[id].clone()).is_none();
        }
        sound &= is_sound(&next);
        match transaction.commit() {
            Ok(_) => {
                assert!(sound, "a commit that must fail");
                self.committed = next;
                true
            }
            Err(error) => {
                let expected =
                    matches!(error, StorageError::Conflict(_) | StorageError::Constraint(_));
                assert!(expected && (overtaken || !sound), "{error}");
                Tally::count(&self.tally.refused);
                false
            }
        }
    }

    fn row(&mut self, id: i64) -> (u64, Row) {
        self.number += 1;
        let mut row = vec![Cell::Int(id)];
        row.push(Kind::Int32.random(&mut self.random, 40));
        for (_, kind) in &COLUMNS[2..] {
            row.push(kind.random(&mut self.random, 60));
        }
        (self.number, row)
    }

    /// Rows go, come, or go and come back in another form; what breaks a key is refused and undone.
    fn change(&mut self, open: &mut Open) {
        let (kind, modulus) = (self.random.below(8), 2 + self.random.below(9).cast_signed());
        let rest = self.random.below(2).cast_signed();
        let (before, mut view) = (open.transaction.savepoint(), open.view.clone());
        let mut ids = Vec::new();
        if kind < 4 {
            let at = positions(open.transaction.snapshot().table("t").unwrap());
            let hit: Vec<i64> =
                view.sees.keys().copied().filter(|id| id % modulus == rest).collect();
            let rows = hit.iter().map(|id| at[id].0).collect();
            assert_eq!(open.transaction.delete("t", rows).unwrap(), hit.len() as u64);
            for id in &hit {
                let (number, _) = view.sees.remove(id).unwrap();
                if !view.added.remove(id) {
                    view.gone.insert((*id, number));
                }
            }
            ids = if kind < 2 { hit } else { vec![] };
        } else {
            let most = if self.random.below(8) == 0 { 300 } else { 8 };
            for _ in 0..1 + self.random.below(most) {
                ids.push(self.random.below(self.ids).cast_signed());
            }
        }
        // Mostly rows that fit.
        let careful = self.random.below(3) > 0;
        let (mut new, mut fits) = (Vec::new(), true);
        let pair = |row: &Row| Some((row[1].int()?, row[2].text()?.to_owned()));
        let mut pairs: BTreeSet<_> = view.sees.values().filter_map(|(_, row)| pair(row)).collect();
        for id in ids {
            let (number, row) = self.row(id);
            let taken = pair(&row).is_some_and(|pair| pairs.contains(&pair));
            let free = !view.sees.contains_key(&id) && !taken;
            if careful && !free {
                continue;
            }
            fits &= free;
            pairs.extend(pair(&row));
            view.added.insert(id);
            view.sees.insert(id, (number, row.clone()));
            new.push(row);
        }
        if new.is_empty() {
            open.view = view;
            return;
        }
        match open.transaction.append("t", vec![segment(&new)]) {
            Ok(_) => {
                assert!(fits, "rows that must be refused");
                open.view = view;
            }
            Err(error) => {
                assert!(matches!(error, StorageError::Constraint(_)) && !fits, "{error}");
                open.transaction.rollback_to(before);
                Tally::count(&self.tally.refused);
            }
        }
    }
}
