//! Indexes of tables under random changes against recomputation from the rows, and against a map of keys.

use std::{
    cmp::Ordering,
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use arrow::array::*;

use super::{tests::Random, *};
use crate::{
    Catalog, ColumnDef, LogicalType, Relation, Scalar, Schema, StorageError,
    catalog::{Background, IfExists},
    index::{Index, IndexColumn, KeyRange, Serial},
};

fn definition(
    name: Option<&str>,
    kind: IndexKind,
    keys: &[(usize, bool)],
    includes: &[(usize, bool)],
) -> IndexDefinition {
    let key = |&(column, descending): &(usize, bool)| IndexKey { column, descending };
    let include = |&(column, quantiles): &(usize, bool)| IndexInclude { column, quantiles };
    let name = name.map(str::to_owned);
    let keys = keys.iter().map(key).collect();
    IndexDefinition { name, kind, keys, includes: includes.iter().map(include).collect() }
}

/// `id`, `v`, `s`, `d`.
type Row = (i64, Option<i64>, Option<String>, f64);

fn segment(rows: &[Row]) -> Arc<Segment> {
    let texts: StringViewArray = rows.iter().map(|row| row.2.as_deref()).collect();
    let columns: [ArrayRef; 4] = [
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
        Arc::new(texts),
        Arc::new(Float64Array::from_iter_values(rows.iter().map(|row| row.3))),
    ];
    let mut builder = SegmentBuilder::new(schema());
    let vectors: Vec<_> = columns.into_iter().map(crate::Vector::Flat).collect();
    builder.push(&vectors, None).unwrap();
    Arc::new(builder.finish().unwrap())
}

fn schema() -> Arc<Schema> {
    Arc::new(Schema::new(vec![
        ColumnDef::new("id", LogicalType::Int64),
        ColumnDef::new("v", LogicalType::Int64),
        ColumnDef::new("s", LogicalType::Text),
        ColumnDef::new("d", LogicalType::Float64),
    ]))
}

fn rules() -> Arc<TableRules> {
    let key = KeyRule { name: None, columns: vec![0], primary: true };
    let indexes = vec![
        definition(Some("plain"), IndexKind::Plain, &[(1, true)], &[(3, true), (2, false)]),
        definition(Some("pair"), IndexKind::Unique, &[(2, false), (1, true)], &[(0, false)]),
        definition(Some("texts"), IndexKind::Plain, &[(2, false)], &[(0, true), (1, false)]),
        definition(Some("doubles"), IndexKind::Plain, &[(3, false)], &[]),
    ];
    Arc::new(TableRules { keys: vec![key], indexes, ..TableRules::default() })
}

/// The rows that are left with their positions, read from the segments.
fn live_rows(table: &TableVersion) -> Vec<(u64, Vec<Scalar>)> {
    let (mut rows, mut start) = (vec![], 0);
    for part in table.parts() {
        let count = part.segment.rows();
        let columns: Vec<_> =
            part.segment.columns().iter().map(|column| column.read(0..count).unwrap()).collect();
        for row in 0..count {
            if !part.deletes.as_ref().is_some_and(|mask| mask.is_deleted(row)) {
                let values = columns.iter().map(|column| column.scalar(row).unwrap());
                rows.push((start + row as u64, values.collect()));
            }
        }
        start += count as u64;
    }
    rows
}

fn compare(a: &Scalar, b: &Scalar, descending: bool) -> Ordering {
    let order = match (a.is_null(), b.is_null()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        _ if a.ty().is_float() => a.as_f64().partial_cmp(&b.as_f64()).unwrap(),
        _ => (a.as_i128(), a.as_bytes()).cmp(&(b.as_i128(), b.as_bytes())),
    };
    if descending { order.reverse() } else { order }
}

/// That every index of a table holds the table's rows, in order, with their values and sums.
fn check(table: &TableVersion) {
    let rows = live_rows(table);
    assert_eq!(rows.len() as u64, table.rows());
    assert_eq!(table.indexes().len(), table.rules().definitions().len());
    for (index, definition) in table.indexes().iter().zip(table.rules().definitions()) {
        assert_eq!(**index.definition(), definition);
        let mut want = rows.clone();
        want.sort_by(|(a, x), (b, y)| {
            let keys = definition.keys.iter();
            let order = keys.map(|k| compare(&x[k.column], &y[k.column], k.descending));
            order.fold(Ordering::Equal, Ordering::then).then(a.cmp(b))
        });
        let index: Arc<Index> = index.index().unwrap();
        assert_eq!(index.len(), want.len() as u64);
        let range = KeyRange::all();
        let view = index.view(&range);
        for (entry, (row, values)) in view.entries(0).zip(&want) {
            assert_eq!(index.row(entry), *row);
            let keys: Vec<Scalar> =
                definition.keys.iter().map(|key| values[key.column].clone()).collect();
            assert_eq!(index.key_values(entry).unwrap(), keys);
            for (place, include) in definition.includes.iter().enumerate() {
                assert_eq!(index.included_value(entry, place).unwrap(), values[include.column]);
            }
        }
        for (place, include) in definition.includes.iter().enumerate() {
            let values: Vec<_> =
                want.iter().filter_map(|(_, v)| v[include.column].as_i128()).collect();
            if table.schema().ty(include.column) == &LogicalType::Int64 {
                let totals = view.totals(IndexColumn::Include(place), false).unwrap();
                assert_eq!(totals.values(), values.len() as u64);
                let (min, max) =
                    (view.min(IndexColumn::Include(place)), view.max(IndexColumn::Include(place)));
                assert_eq!(min.unwrap().and_then(|v| v.as_i128()), values.iter().min().copied());
                assert_eq!(max.unwrap().and_then(|v| v.as_i128()), values.iter().max().copied());
            }
        }
    }
}

/// What makes rows, some of which share keys.
fn row(random: &mut Random, ids: usize) -> Row {
    let v = Some(random.below(40) as i64).filter(|v| v % 7 > 0);
    let s = Some(format!("text number {}", random.below(60))).filter(|_| random.below(5) > 0);
    (random.below(ids) as i64, v, s, random.below(9) as f64 / 4.0 - 1.0)
}

/// The keys of a model: of the primary key, and of the pair where both values are there.
type Pair = (String, i64);

#[derive(Clone, Default)]
struct Model {
    rows: BTreeMap<i64, Row>,
}

impl Model {
    fn pairs(&self) -> Vec<Pair> {
        self.rows.values().filter_map(pair).collect()
    }

    /// Whether rows can be added.
    fn takes(&self, rows: &[Row]) -> bool {
        let mut ids: Vec<i64> = self.rows.keys().copied().chain(rows.iter().map(|r| r.0)).collect();
        let mut pairs: Vec<Pair> =
            self.pairs().into_iter().chain(rows.iter().filter_map(pair)).collect();
        let (all_ids, all_pairs) = (ids.len(), pairs.len());
        ids.sort_unstable();
        ids.dedup();
        pairs.sort_unstable();
        pairs.dedup();
        ids.len() == all_ids && pairs.len() == all_pairs
    }
}

fn pair(row: &Row) -> Option<Pair> {
    Some((row.2.clone()?, row.1?))
}

/// The rows of a table by id.
fn contents(table: &TableVersion) -> BTreeMap<i64, (u64, Row)> {
    let row = |(position, values): (u64, Vec<Scalar>)| {
        let number = |at: usize| values[at].as_i128().map(|v| v as i64);
        let text = values[2].as_str().map(str::to_owned);
        let id = number(0).unwrap();
        (id, (position, (id, number(1), text, values[3].as_f64().unwrap())))
    };
    live_rows(table).into_iter().map(row).collect()
}

#[test]
fn test_indexes_equal_recomputation_under_changes_rollbacks_and_compaction() {
    let (mut refused, mut compacted) = (0, 0);
    for seed in 0..6 {
        let mut random = Random(seed * 131 + 7);
        let catalog = Catalog::new();
        let table = TableVersion::new(schema(), &[]).unwrap().with_rules(rules(), &Serial).unwrap();
        let mut first = catalog.begin();
        first.create_table("t", table, IfExists::Fail).unwrap();
        first.commit().unwrap();
        let mut committed = Model::default();
        let mut held = vec![];
        for step in 0..60 {
            let mut transaction = catalog.begin();
            let mut model = committed.clone();
            for _ in 0..1 + random.below(4) {
                let before = transaction.savepoint();
                let table = Arc::clone(transaction.snapshot().table("t").unwrap());
                let known = contents(&table);
                let modulus = 2 + random.below(9) as i64;
                let hit: Vec<i64> = known.keys().copied().filter(|id| id % modulus == 0).collect();
                let positions = hit.iter().map(|id| known[id].0).collect();
                match random.below(6) {
                    0 => {
                        transaction.delete("t", positions).unwrap();
                        model.rows.retain(|id, _| id % modulus != 0);
                    }
                    1 => {
                        // An update: rows go and come back with other values.
                        let mut next = model.clone();
                        next.rows.retain(|id, _| id % modulus != 0);
                        let new: Vec<Row> = hit
                            .iter()
                            .map(|id| {
                                let (_, v, s, d) = row(&mut random, 1);
                                let keep = known[id].1.clone();
                                if id % 3 == 0 { (*id, keep.1, keep.2, d) } else { (*id, v, s, d) }
                            })
                            .collect();
                        let fits = next.takes(&new);
                        transaction.delete("t", positions).unwrap();
                        match transaction.append("t", vec![segment(&new)]) {
                            Ok(_) => {
                                assert!(fits);
                                next.rows.extend(new.into_iter().map(|row| (row.0, row)));
                                model = next;
                            }
                            Err(error) => {
                                assert!(matches!(error, StorageError::Constraint(_)) && !fits);
                                transaction.rollback_to(before);
                                refused += 1;
                            }
                        }
                    }
                    _ => {
                        let most = if random.below(6) == 0 { 200 } else { 6 };
                        let count = 1 + random.below(most);
                        let mut new: Vec<Row> =
                            (0..count).map(|_| row(&mut random, 4000)).collect();
                        if random.below(3) > 0 {
                            // Mostly rows that fit.
                            let mut next = model.clone();
                            new.retain(|row| {
                                let fits = next.takes(std::slice::from_ref(row));
                                if fits {
                                    next.rows.insert(row.0, row.clone());
                                }
                                fits
                            });
                        }
                        let fits = model.takes(&new);
                        match transaction.append("t", vec![segment(&new)]) {
                            Ok(_) => {
                                assert!(fits, "seed {seed}");
                                model.rows.extend(new.into_iter().map(|row| (row.0, row)));
                            }
                            Err(error) => {
                                assert!(matches!(error, StorageError::Constraint(_)), "{error}");
                                assert!(!fits, "seed {seed}: {error}");
                                refused += 1;
                            }
                        }
                    }
                }
            }
            let view = Arc::clone(transaction.snapshot().table("t").unwrap());
            if step % 9 == 0 {
                check(&view);
            }
            match random.below(5) {
                0 => transaction.rollback(),
                1 => {
                    // Somebody else commits first.
                    let mut other = catalog.begin();
                    let fresh = 10_000 + step;
                    let rows = vec![(fresh, None, None, 0.0)];
                    other.append("t", vec![segment(&rows)]).unwrap();
                    other.commit().unwrap();
                    committed.rows.insert(fresh, rows[0].clone());
                    model.rows.insert(fresh, rows[0].clone());
                    transaction.commit().unwrap();
                    committed = model;
                }
                _ => {
                    transaction.commit().unwrap();
                    committed = model;
                }
            }
            if random.below(8) == 0 {
                let table = Arc::clone(catalog.snapshot().table("t").unwrap());
                let groups = table.compaction(Thoroughness::Whole).into_iter();
                let groups: Vec<_> =
                    groups.map(|g| (g.clone(), table.compacted_group(&g).unwrap())).collect();
                compacted += groups.len();
                let next = table.compacted(groups).unwrap();
                assert!(catalog.put_compacted("t", &table, next, true));
            }
            let table = Arc::clone(catalog.snapshot().table("t").unwrap());
            let now: Vec<Row> = contents(&table).into_values().map(|(_, row)| row).collect();
            assert_eq!(now, committed.rows.values().cloned().collect::<Vec<_>>());
            if step % 7 == 0 {
                check(&table);
                held.push(table);
            }
        }
        held.iter().for_each(|table| check(table));
    }
    assert!(refused > 12 && compacted > 3, "{refused} refused, {compacted} compacted");
}

#[test]
fn test_rows_without_a_part_of_their_key_share_nothing_and_lookups_find_the_others() {
    let key = definition(Some("u"), IndexKind::Unique, &[(2, true), (1, false)], &[]);
    let one = definition(Some("one"), IndexKind::Unique, &[(2, true)], &[]);
    for definition in [key, one] {
        let rules = TableRules { indexes: vec![definition], ..TableRules::default() };
        let table = TableVersion::new(schema(), &[]).unwrap();
        let table = table.with_rules(Arc::new(rules), &Serial).unwrap();
        let row = |id, v, s: Option<&str>| (id, v, s.map(str::to_owned), 0.0);
        let nulls = [row(1, Some(1), None), row(2, Some(1), None), row(3, None, None)];
        let table = table.append(&[segment(&nulls)]).unwrap();
        let table = table.append(&[segment(&[row(4, Some(5), Some(""))])]).unwrap();
        let table = table.append(&[segment(&nulls)]).unwrap();
        let probe = segment(&[
            row(0, Some(5), Some("")),
            row(0, Some(1), None),
            row(0, Some(5), Some("a")),
        ]);
        assert_eq!(table.indexes()[0].rows_of(&probe).unwrap(), [Some(3), None, None]);
        let keys = table.indexes()[0].keys_of(&probe).unwrap();
        assert!(keys[0].is_some() && keys[1].is_none() && keys[0] != keys[2]);
        let error = table.append(&[segment(&[row(9, Some(5), Some(""))])]).unwrap_err().to_string();
        assert!(error.starts_with("two rows with the key ('"), "{error}");
        // Once the row is gone its key is free, and the key's new row is found.
        let table = table.without(&[3]).unwrap();
        let table = table.append(&[segment(&[row(9, Some(5), Some(""))])]).unwrap();
        assert_eq!(table.indexes()[0].rows_of(&probe).unwrap(), [Some(7), None, None]);
        assert_eq!(
            table.without_rows(&table.live_rows()).unwrap().indexes()[0].index().unwrap().len(),
            0
        );
        check(&table);
    }
}

#[test]
fn test_other_columns_and_rules_keep_the_indexes_that_fit() {
    let rows: Vec<Row> =
        (0..3000).map(|i| (i, Some(i % 9), Some(format!("s{}", i * 7)), i as f64)).collect();
    let table = TableVersion::new(schema(), &[segment(&rows)]).unwrap();
    let table = table.with_rules(rules(), &Serial).unwrap().without(&[5, 2999]).unwrap();
    check(&table);
    // Without the column that nothing needs; the others are elsewhere now.
    let mut other = table.rules().as_ref().clone();
    other.indexes.retain(|index| !index.uses(3));
    let other = TableRules {
        keys: vec![KeyRule { columns: vec![2], ..other.keys[0].clone() }],
        indexes: other
            .indexes
            .iter()
            .map(|index| index.with_columns(|column| Some(2 - column)).unwrap())
            .collect(),
        ..other
    };
    let columns = [2, 1, 0].map(|column| table.schema().columns[column].clone()).to_vec();
    let from = [2, 1, 0].map(NewColumn::Old);
    let turned = table
        .with_columns(Arc::new(Schema::new(columns)), &from, Arc::new(other), &Serial)
        .unwrap();
    for index in turned.indexes() {
        let old =
            table.indexes().iter().find(|old| old.definition().name == index.definition().name);
        // Not built again.
        assert!(Arc::ptr_eq(&index.built().unwrap(), &old.unwrap().built().unwrap()));
    }
    check(&turned);
    // An index that becomes unique is asked whether it is.
    let mut unique = table.rules().as_ref().clone();
    unique.indexes[0].kind = IndexKind::Unique;
    let error = table.with_rules(Arc::new(unique), &Serial).unwrap_err().to_string();
    assert_eq!(
        error,
        "two rows with the key (0): UNIQUE INDEX plain (v DESC) INCLUDE (d QUANTILES, s)"
    );
    let mut nested = table.rules().as_ref().clone();
    nested.indexes[0].keys[0].column = 9;
    assert!(matches!(table.with_rules(Arc::new(nested), &Serial), Err(StorageError::Internal(_))));
}

#[test]
fn test_commits_merge_the_runs_of_indexes_and_readers_keep_theirs() {
    let catalog = Catalog::new();
    let index = definition(Some("i"), IndexKind::Plain, &[(1, false)], &[]);
    let rules = TableRules { indexes: vec![index], ..TableRules::default() };
    let table = TableVersion::new(schema(), &[]).unwrap();
    let table = table.with_rules(Arc::new(rules), &Serial).unwrap();
    let mut first = catalog.begin();
    let first_version = table.version();
    first.create_table("t", table, IfExists::Fail).unwrap();
    first.commit().unwrap();
    let rows: Vec<Row> = (0..40_000).map(|i| (i, Some(i % 911), None, 0.0)).collect();
    let mut before = None;
    for _ in 0..5 {
        let mut transaction = catalog.begin();
        transaction.append("t", vec![segment(&rows)]).unwrap();
        before = Some(transaction.snapshot().table("t").unwrap().indexes()[0].index().unwrap());
        transaction.commit().unwrap();
    }
    let table = Arc::clone(catalog.snapshot().table("t").unwrap());
    let now = table.indexes()[0].index().unwrap();
    assert_eq!((now.len(), now.merge_due().is_none()), (200_000, true));
    let info = now.info();
    assert!(info.runs < 3, "{info:?}");
    assert_eq!(info.bytes, info.column_bytes.iter().sum::<u64>());
    // Merging is no version.
    assert!(before.unwrap().len() == 200_000 && table.version() == first_version + 5);
}

/// Work for the background.
type Task = Box<dyn FnOnce() + Send>;

#[test]
fn test_large_merges_wait_for_the_background_while_commits_go_on() {
    let catalog = Catalog::new();
    let tasks: Arc<Mutex<Vec<Task>>> = Arc::default();
    let waiting = Arc::clone(&tasks);
    let spawn = move |task| waiting.lock().unwrap().push(task);
    catalog.set_background(Background(Box::new(spawn)));
    let index = definition(Some("i"), IndexKind::Plain, &[(1, false)], &[(0, false)]);
    let rules = TableRules { indexes: vec![index], ..TableRules::default() };
    let table = TableVersion::new(schema(), &[]).unwrap();
    let table = table.with_rules(Arc::new(rules), &Serial).unwrap();
    let mut first = catalog.begin();
    first.create_table("t", table, IfExists::Fail).unwrap();
    first.commit().unwrap();
    let rows: Vec<Row> = (0..40_000).map(|i| (i, Some(i * 7 % 911), None, 0.0)).collect();
    let insert = |rows: &[Row]| {
        let mut transaction = catalog.begin();
        transaction.append("t", vec![segment(rows)]).unwrap();
        transaction.commit().unwrap();
    };
    insert(&rows);
    insert(&rows);
    let held = Arc::clone(catalog.snapshot().table("t").unwrap());
    assert_eq!(
        (tasks.lock().unwrap().len(), held.indexes()[0].index().unwrap().info().runs),
        (1, 2)
    );
    // One who began before the merge and commits after it, and changes while it waits.
    let mut open = catalog.begin();
    open.append("t", vec![segment(&rows[..10])]).unwrap();
    insert(&rows[..3]);
    let mut transaction = catalog.begin();
    transaction.delete("t", [5, 40_005].into_iter().collect()).unwrap();
    transaction.commit().unwrap();
    let due = std::mem::take(&mut *tasks.lock().unwrap());
    assert!(!due.is_empty());
    due.into_iter().for_each(|task| task());
    let latest = Arc::clone(catalog.snapshot().table("t").unwrap());
    let now = latest.indexes()[0].index().unwrap();
    assert_eq!((now.len(), now.info().pending), (80_001, 5), "{:?}", now.info());
    open.commit().unwrap();
    for task in std::mem::take(&mut *tasks.lock().unwrap()) {
        task();
    }
    let table = Arc::clone(catalog.snapshot().table("t").unwrap());
    assert_eq!(table.indexes()[0].index().unwrap().len(), 80_011);
    check(&table);
    check(&held);
}
