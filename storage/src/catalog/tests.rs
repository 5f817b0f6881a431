//! Transactions against a naive model: sets of rows in maps, copied whole.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::*, datatypes::Int64Type};

use super::*;
use crate::{
    ColumnDef, LogicalType, Relation, Schema, StorageError, TableBuilder, TableVersion, Vector,
    table::{BatchTable, RowId, Segment},
};

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![ColumnDef::new("id", LogicalType::Int64)]))
}

fn segments(ids: &[i64]) -> Vec<Arc<Segment>> {
    let mut builder = TableBuilder::new(schema());
    builder.push(&[Vector::Flat(Arc::new(Int64Array::from(ids.to_vec())))], None).unwrap();
    builder.finish().unwrap()
}

fn table(ids: &[i64]) -> TableVersion {
    TableVersion::new(schema(), &segments(ids)).unwrap()
}

/// The ids of a table's rows that are left, in order, with the rows' names.
fn rows(table: &TableVersion) -> Vec<(i64, RowId)> {
    let mut all = vec![];
    for (segment, part) in (0..).zip(table.parts()) {
        let ids = part.segment.columns()[0].read(0..part.segment.rows()).unwrap();
        let ids = ids.flatten().unwrap();
        for (row, &id) in (0..).zip(ids.as_primitive::<Int64Type>().values()) {
            if !part.deletes.as_ref().is_some_and(|mask| mask.is_deleted(row as usize)) {
                all.push((id, RowId { segment, row }));
            }
        }
    }
    assert_eq!(all.len() as u64, table.rows());
    all
}

fn ids(snapshot: &CatalogSnapshot, name: &str) -> Vec<i64> {
    rows(snapshot.table(name).unwrap()).into_iter().map(|(id, _)| id).collect()
}

fn row_ids(snapshot: &CatalogSnapshot, name: &str, wanted: &[i64]) -> Vec<RowId> {
    let rows = rows(snapshot.table(name).unwrap());
    rows.into_iter().filter(|(id, _)| wanted.contains(id)).map(|(_, row)| row).collect()
}

fn with_table(name: &str, ids: &[i64]) -> Arc<Catalog> {
    let catalog = Catalog::new();
    let mut transaction = catalog.begin();
    assert!(transaction.create_table(name, table(ids), IfExists::Fail).unwrap());
    assert_eq!(transaction.commit().unwrap(), 1);
    catalog
}

#[test]
fn test_names_ignore_case_and_keep_it() {
    let catalog = with_table("Flights", &[1]);
    let snapshot = catalog.snapshot();
    assert!(snapshot.relation("fLIGHTS").is_some());
    assert_eq!(snapshot.declared_name("FLIGHTS"), Some("Flights"));
    let mut transaction = catalog.begin();
    let view = View { sql: "SELECT 1".into() };
    let error = transaction.create_view("FLIGHTS", view.clone(), IfExists::Fail).unwrap_err();
    assert_eq!(error.to_string(), "a table 'Flights' exists already");
    let error = transaction.create_view("flights", view.clone(), IfExists::Replace).unwrap_err();
    assert!(error.to_string().contains("a view does not replace it"), "{error}");
    assert!(!transaction.create_view("flights", view.clone(), IfExists::Keep).unwrap());
    assert!(transaction.create_view("v", view.clone(), IfExists::Fail).unwrap());
    let batch = BatchTable::new(schema().to_arrow(), vec![]).unwrap();
    transaction.register("External", batch as Arc<BatchTable>, IfExists::Fail).unwrap();
    let kinds: Vec<_> = transaction
        .snapshot()
        .entries()
        .map(|(name, entry)| format!("{name}: {}", entry.kind()))
        .collect();
    assert_eq!(kinds, ["External: registered relation", "Flights: table", "v: view"]);
    assert!(transaction.snapshot().relation("v").unwrap().relation().is_none());
    let error = transaction.append("v", segments(&[1])).unwrap_err();
    assert_eq!(error.to_string(), "'v' is a view, not a table");
    let error = transaction.drop_entry("v", EntryKind::Table, true).unwrap_err();
    assert_eq!(error.to_string(), "'v' is a view, not a table");
    assert!(!transaction.drop_entry("w", EntryKind::View, true).unwrap());
    let error = transaction.drop_entry("w", EntryKind::View, false).unwrap_err();
    assert_eq!(error.to_string(), "there is no view 'w'");
    assert!(transaction.drop_entry("FLIGHTS", EntryKind::Table, false).unwrap());
    transaction.commit().unwrap();
    assert!(catalog.snapshot().relation("flights").is_none());
    assert_eq!(snapshot.entries().count(), 1);
}

#[test]
fn test_a_transaction_sees_itself_and_others_do_not() {
    let catalog = with_table("t", &[1, 2]);
    let mut transaction = catalog.begin();
    transaction.append("t", segments(&[3])).unwrap();
    assert_eq!(ids(transaction.snapshot(), "t"), [1, 2, 3]);
    assert_eq!(ids(&catalog.snapshot(), "t"), [1, 2]);
    let savepoint = transaction.savepoint();
    transaction.append("t", segments(&[4])).unwrap();
    transaction.create_table("u", table(&[]), IfExists::Fail).unwrap();
    transaction.rollback_to(savepoint);
    assert_eq!(ids(transaction.snapshot(), "t"), [1, 2, 3]);
    assert!(transaction.snapshot().relation("u").is_none());
    let before = catalog.snapshot();
    transaction.commit().unwrap();
    assert_eq!(ids(&catalog.snapshot(), "t"), [1, 2, 3]);
    assert_eq!(ids(&before, "t"), [1, 2]);
    let mut transaction = catalog.begin();
    transaction.append("t", segments(&[5])).unwrap();
    transaction.rollback();
    assert_eq!(ids(&catalog.snapshot(), "t"), [1, 2, 3]);
    // Nothing to publish is not a new state.
    let version = catalog.snapshot().version();
    assert_eq!(catalog.begin().commit().unwrap(), version);
}

#[test]
fn test_appends_do_not_conflict_and_keep_the_order_of_commits() {
    let catalog = with_table("t", &[1]);
    let (mut first, mut second) = (catalog.begin(), catalog.begin());
    first.append("t", segments(&[10])).unwrap();
    second.append("T", segments(&[20, 21])).unwrap();
    // Deletes its own row and an old one: the own one moves when the other transaction commits first.
    let gone = row_ids(second.snapshot(), "t", &[1, 20]);
    second.delete_rows("t", &gone).unwrap();
    first.commit().unwrap();
    second.commit().unwrap();
    assert_eq!(ids(&catalog.snapshot(), "t"), [10, 21]);
}

/// What the second of two transactions that began together is told.
fn second_fails(first: impl Fn(&mut Transaction), second: impl Fn(&mut Transaction)) {
    let catalog = with_table("Orders", &[1, 2, 3]);
    let (mut one, mut two) = (catalog.begin(), catalog.begin());
    first(&mut one);
    second(&mut two);
    two.create_table("by_the_way", table(&[]), IfExists::Fail).unwrap();
    one.commit().unwrap();
    let published = catalog.snapshot();
    let error = two.commit().unwrap_err();
    assert!(matches!(&error, StorageError::Conflict(m) if m.contains("'Orders'")), "{error}");
    assert!(Arc::ptr_eq(&published, &catalog.snapshot()));
}

#[test]
fn test_the_first_to_commit_wins() {
    let delete = |wanted: &'static [i64]| {
        move |t: &mut Transaction| {
            let rows = row_ids(t.snapshot(), "Orders", wanted);
            t.delete_rows("Orders", &rows).unwrap();
        }
    };
    let append = |t: &mut Transaction| {
        t.append("Orders", segments(&[9])).unwrap();
    };
    let replace = |t: &mut Transaction| t.replace("Orders", table(&[7])).unwrap();
    let drop_it = |t: &mut Transaction| {
        t.drop_entry("Orders", EntryKind::Table, false).unwrap();
    };
    let recreate = |t: &mut Transaction| {
        t.create_table("Orders", table(&[]), IfExists::Replace).unwrap();
    };
    second_fails(delete(&[1, 2]), delete(&[2]));
    second_fails(drop_it, append);
    second_fails(drop_it, delete(&[1]));
    second_fails(drop_it, drop_it);
    second_fails(recreate, append);
    second_fails(recreate, recreate);
    second_fails(append, replace);
    second_fails(replace, append);
    second_fails(replace, delete(&[1]));
    second_fails(replace, replace);
    // These do not touch each other.
    let catalog = with_table("Orders", &[1, 2, 3]);
    let (mut one, mut two) = (catalog.begin(), catalog.begin());
    delete(&[1])(&mut one);
    delete(&[3])(&mut two);
    append(&mut two);
    one.commit().unwrap();
    two.commit().unwrap();
    assert_eq!(ids(&catalog.snapshot(), "orders"), [2, 9]);
}

#[test]
fn test_two_that_create_the_same_name_conflict() {
    let catalog = Catalog::new();
    let (mut one, mut two) = (catalog.begin(), catalog.begin());
    one.create_table("t", table(&[1]), IfExists::Fail).unwrap();
    two.create_table("T", table(&[2]), IfExists::Fail).unwrap();
    one.commit().unwrap();
    assert!(matches!(two.commit(), Err(StorageError::Conflict(_))));
    assert_eq!(ids(&catalog.snapshot(), "t"), [1]);
}

#[test]
fn test_writers_on_many_threads_lose_nothing_and_readers_see_whole_commits() {
    let catalog = with_table("t", &[]);
    std::thread::scope(|scope| {
        for writer in 0..3_i64 {
            let catalog = &catalog;
            scope.spawn(move || {
                for i in 0..200 {
                    let mut transaction = catalog.begin();
                    let id = writer * 1_000_000 + 2 * i;
                    transaction.append("t", segments(&[id])).unwrap();
                    transaction.append("t", segments(&[id + 1])).unwrap();
                    transaction.commit().unwrap();
                }
            });
        }
        scope.spawn(|| {
            let mut last = 0;
            while last < 1200 {
                let rows = catalog.snapshot().table("t").unwrap().rows();
                assert!(rows >= last && rows.is_multiple_of(2));
                last = rows;
            }
        });
    });
    let all = ids(&catalog.snapshot(), "t");
    assert!(all.chunks(2).all(|pair| pair[1] == pair[0] + 1));
    for writer in 0..3 {
        let own = all.iter().filter(|&&id| id / 1_000_000 == writer).collect::<Vec<_>>();
        assert_eq!(own.len(), 400);
        assert!(own.is_sorted());
    }
}

/// The naive model.
#[derive(Clone, Default)]
struct Model {
    tables: BTreeMap<&'static str, ModelTable>,
}

#[derive(Clone)]
struct ModelTable {
    object: u64,
    changes: u64,
    ids: Vec<i64>,
}

#[derive(Clone)]
enum Op {
    Create(&'static str, u64, Vec<i64>),
    Drop(&'static str),
    Append(&'static str, Vec<i64>),
    Delete(&'static str, Vec<i64>),
    Replace(&'static str, u64, Vec<i64>),
}

impl Op {
    fn name(&self) -> &'static str {
        match self {
            Self::Create(name, ..)
            | Self::Drop(name)
            | Self::Append(name, _)
            | Self::Delete(name, _)
            | Self::Replace(name, ..) => name,
        }
    }
}

impl Model {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(name, object, ids) | Op::Replace(name, object, ids) => {
                let table = ModelTable { object: *object, changes: 0, ids: ids.clone() };
                self.tables.insert(name, table);
            }
            Op::Drop(name) => drop(self.tables.remove(name)),
            Op::Append(name, ids) => {
                let table = self.tables.get_mut(name).unwrap();
                table.ids.extend(ids);
                table.changes += 1;
            }
            Op::Delete(name, ids) => {
                let table = self.tables.get_mut(name).unwrap();
                table.ids.retain(|id| !ids.contains(id));
                table.changes += 1;
            }
        }
    }

    fn object(&self, name: &str) -> Option<u64> {
        self.tables.get(name).map(|table| table.object)
    }

    fn conflicts(&self, base: &Self, ops: &[Op]) -> bool {
        ops.iter().any(|op| {
            if self.object(op.name()) != base.object(op.name()) {
                return true;
            }
            let (Some(now), Some(before)) =
                (self.tables.get(op.name()), base.tables.get(op.name()))
            else {
                return false;
            };
            match op {
                Op::Replace(..) => now.changes != before.changes,
                Op::Delete(_, ids) => {
                    ids.iter().any(|id| before.ids.contains(id) && !now.ids.contains(id))
                }
                _ => false,
            }
        })
    }

    fn check(&self, snapshot: &CatalogSnapshot) {
        let names: Vec<&str> = snapshot.entries().map(|(name, _)| name).collect();
        assert_eq!(names, self.tables.keys().copied().collect::<Vec<_>>());
        for (name, table) in &self.tables {
            assert_eq!(ids(snapshot, name), table.ids, "table {name}");
        }
    }
}

struct Open {
    real: Transaction,
    base: Model,
    view: Model,
    ops: Vec<Op>,
}

struct World {
    random: crate::table::tests::Random,
    next: u64,
}

impl World {
    fn fresh(&mut self, n: usize) -> Vec<i64> {
        self.next += n as u64;
        (self.next - n as u64..self.next).map(|id| id as i64).collect()
    }

    /// One random change of an open transaction, in both worlds.
    fn step(&mut self, open: &mut Open) {
        let name = ["a", "b", "c"][self.random.below(3)];
        let n = match self.random.below(12) {
            0 => 3000,
            1 => 0,
            n => n,
        };
        let some: Vec<i64> = match open.view.tables.get(name) {
            None => vec![],
            Some(table) => {
                let keep = 1 + self.random.below(4);
                table.ids.iter().copied().filter(|_| self.random.below(6) < keep).take(40).collect()
            }
        };
        let exists = open.view.tables.contains_key(name);
        let op = match self.random.below(20) {
            0 => Op::Drop(name),
            1 => {
                let ids = self.fresh(n);
                Op::Replace(name, self.next + 1_000_000, [some.clone(), ids].concat())
            }
            2..8 if exists => Op::Delete(name, some.clone()),
            _ if exists => Op::Append(name, self.fresh(n)),
            _ => Op::Create(name, self.next, self.fresh(n + 1)),
        };
        let real = &mut open.real;
        let done = match &op {
            Op::Create(name, _, ids) => {
                real.create_table(name, table(ids), IfExists::Fail).map(|_| ())
            }
            Op::Drop(name) => real.drop_entry(name, EntryKind::Table, false).map(|_| ()),
            Op::Append(name, ids) => real.append(name, segments(ids)).map(|_| ()),
            Op::Delete(name, ids) => {
                let rows = row_ids(real.snapshot(), name, ids);
                real.delete_rows(name, &rows).map(|_| ())
            }
            Op::Replace(name, _, ids) => real.replace(name, table(ids)),
        };
        let fails = !exists && !matches!(op, Op::Create(..));
        assert_eq!(done.is_err(), fails, "{done:?}");
        // Deleting no row is no change, so that it conflicts with nothing.
        let changes = !matches!(&op, Op::Delete(_, ids) if ids.is_empty());
        if !fails && changes {
            self.next += 1;
            open.view.apply(&op);
            open.ops.push(op);
        }
        open.view.check(open.real.snapshot());
    }
}

#[test]
fn test_random_transactions_equal_a_naive_model() {
    let (mut commits, mut conflicts) = (0, 0);
    for seed in 0..40 {
        let mut world = World { random: crate::table::tests::Random(seed * 77 + 1), next: 1 };
        let catalog = Catalog::new();
        let mut committed = Model::default();
        let mut open: Vec<Open> = vec![];
        let mut held: Vec<(Arc<CatalogSnapshot>, Model)> = vec![];
        for _ in 0..150 {
            let choice = world.random.below(10);
            if open.is_empty() || (open.len() < 4 && matches!(choice, 0 | 4 | 5)) {
                let (base, view) = (committed.clone(), committed.clone());
                open.push(Open { real: catalog.begin(), base, view, ops: vec![] });
                continue;
            }
            let i = world.random.below(open.len());
            match choice {
                1 => open.swap_remove(i).real.rollback(),
                2 => {
                    let savepoint = open[i].real.savepoint();
                    let (view, ops) = (open[i].view.clone(), open[i].ops.clone());
                    world.step(&mut open[i]);
                    world.step(&mut open[i]);
                    open[i].real.rollback_to(savepoint);
                    (open[i].view, open[i].ops) = (view, ops);
                    open[i].view.check(open[i].real.snapshot());
                }
                3 => {
                    let Open { real, base, ops, .. } = open.swap_remove(i);
                    let want = committed.conflicts(&base, &ops);
                    let got = real.commit();
                    assert_eq!(got.is_err(), want, "seed {seed}: {got:?}");
                    if want {
                        assert!(matches!(got, Err(StorageError::Conflict(_))));
                        conflicts += 1;
                    } else {
                        ops.iter().for_each(|op| committed.apply(op));
                        commits += 1;
                    }
                    committed.check(&catalog.snapshot());
                    held.push((catalog.snapshot(), committed.clone()));
                }
                _ => world.step(&mut open[i]),
            }
        }
        for (snapshot, model) in &held {
            model.check(snapshot);
        }
    }
    assert!(commits > 100 && conflicts > 30, "{commits} commits, {conflicts} conflicts");
}
