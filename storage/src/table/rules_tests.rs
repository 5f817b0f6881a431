//! Keys and other columns against naive readings.

use std::{collections::HashMap, sync::Arc};

use arrow::{array::*, datatypes::Int64Type};

use super::{tests::Random, version_tests::table_of, *};
use crate::{
    Catalog, ColumnDef, Encoding, LogicalType, Relation, Scalar, Schema, StorageError,
    catalog::IfExists, index::Serial,
};

fn ints(values: impl IntoIterator<Item = Option<i64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Int64Array>())
}

fn rules(keys: &[&[usize]]) -> Arc<TableRules> {
    let key = |(i, columns): (usize, &&[usize])| KeyRule {
        name: None,
        columns: columns.to_vec(),
        primary: i == 0,
    };
    Arc::new(TableRules {
        keys: keys.iter().enumerate().map(key).collect(),
        ..TableRules::default()
    })
}

fn segment(columns: &[(&str, ArrayRef)]) -> Arc<Segment> {
    Arc::clone(&table_of(columns).parts().next().unwrap().segment)
}

#[test]
fn test_keys_equal_a_naive_model_under_appends_deletes_and_compaction() {
    for seed in 0..12 {
        let mut random = Random(seed * 91 + 5);
        let empty = TableVersion::new(
            Arc::new(Schema::new(vec![ColumnDef::new("k", LogicalType::Int64)])),
            &[],
        );
        let mut table = empty.unwrap().with_rules(rules(&[&[0]]), &Serial).unwrap();
        let mut model: HashMap<i64, u64> = HashMap::new();
        let mut refused = 0;
        for _ in 0..120 {
            match random.below(5) {
                0 if !model.is_empty() => {
                    let gone: Vec<i64> = model.keys().copied().filter(|k| k % 3 == 0).collect();
                    let rows: Vec<u64> = gone.iter().map(|key| model[key]).collect();
                    table = table.without(&rows).unwrap();
                    model.retain(|key, _| !gone.contains(key));
                }
                1 => {
                    let groups = table.compaction(Thoroughness::Whole).into_iter();
                    let groups = groups.map(|g| (g.clone(), table.compacted_group(&g).unwrap()));
                    table = table.compacted(groups.collect()).unwrap();
                    model.clear();
                    let mut start = 0;
                    for part in table.parts() {
                        let rows = part.segment.rows();
                        let keys = part.segment.columns()[0].read(0..rows).unwrap();
                        let keys = keys.flatten().unwrap();
                        for (row, key) in keys.as_primitive::<Int64Type>().iter().enumerate() {
                            let gone = part.deletes.as_ref().is_some_and(|m| m.is_deleted(row));
                            if let Some(key) = key.filter(|_| !gone) {
                                model.insert(key, start + row as u64);
                            }
                        }
                        start += rows as u64;
                    }
                }
                _ => {
                    let keys: Vec<Option<i64>> = (0..random.below(6) + 1)
                        .map(|_| Some(random.below(90) as i64).filter(|k| k % 11 > 0))
                        .collect();
                    let given: Vec<i64> = keys.iter().flatten().copied().collect();
                    let mut fresh = given.clone();
                    fresh.sort_unstable();
                    fresh.dedup();
                    let free = fresh.len() == given.len()
                        && !given.iter().any(|key| model.contains_key(key));
                    let rows = segment(&[("k", ints(keys.clone()))]);
                    let found = table.indexes()[0].rows_of(&rows).unwrap();
                    let want = keys.iter().map(|k| k.and_then(|k| model.get(&k).copied()));
                    assert_eq!(found, want.collect::<Vec<_>>(), "seed {seed}");
                    match table.append(&[rows]) {
                        Ok(next) => {
                            assert!(free, "seed {seed}: {keys:?}");
                            let start = table.positions();
                            let new = keys.iter().enumerate();
                            model.extend(new.filter_map(|(i, k)| Some(((*k)?, start + i as u64))));
                            table = next;
                        }
                        Err(error) => {
                            assert!(matches!(error, StorageError::Constraint(_)), "{error}");
                            assert!(!free);
                            refused += 1;
                        }
                    }
                }
            }
        }
        assert!(refused > 5 && model.len() > 5);
    }
}

#[test]
fn test_equal_doubles_are_one_key_and_nulls_are_none() {
    let doubles = |values: &[Option<f64>]| -> ArrayRef {
        Arc::new(values.iter().copied().collect::<Float64Array>())
    };
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None, None]));
    let x = doubles(&[Some(0.0), Some(f64::NAN), Some(f64::NAN)]);
    let table = table_of(&[("x", x), ("t", Arc::clone(&texts))]);
    let table = table.with_rules(rules(&[&[1, 0]]), &Serial).unwrap();
    let more = |value| segment(&[("x", doubles(&[Some(value)])), ("t", texts.slice(0, 1))]);
    let error = table.append(&[more(-0.0)]).unwrap_err().to_string();
    assert_eq!(error, "two rows with the key ('a', -0.0): PRIMARY KEY (t, x)");
    let table = table.append(&[more(f64::NAN)]).unwrap();
    assert!(table.append(&[more(-f64::NAN)]).is_err());
    let error = table.with_rules(rules(&[&[1, 0], &[1]]), &Serial).unwrap_err().to_string();
    assert_eq!(error, "two rows with the key ('a'): UNIQUE (t)");
}

#[test]
fn test_transactions_with_the_same_key_do_not_both_commit() {
    let catalog = Catalog::new();
    let mut transaction = catalog.begin();
    let table = table_of(&[("k", ints([Some(1)]))]).with_rules(rules(&[&[0]]), &Serial).unwrap();
    transaction.create_table("t", table, IfExists::Fail).unwrap();
    transaction.commit().unwrap();
    let (mut one, mut two) = (catalog.begin(), catalog.begin());
    let row = |k| vec![segment(&[("k", ints([Some(k)]))])];
    one.append("t", row(2)).unwrap();
    two.append("t", row(2)).unwrap();
    // A key that is deleted and inserted again in one transaction is free.
    one.delete("t", [0].into_iter().collect()).unwrap();
    one.append("t", row(1)).unwrap();
    one.commit().unwrap();
    let error = two.commit().unwrap_err().to_string();
    assert_eq!(error, "the table 't' would have two rows with the key (2): PRIMARY KEY (k)");
    assert_eq!(catalog.snapshot().table("t").unwrap().rows(), 2);
    let mut other = catalog.begin();
    other.append("t", row(3)).unwrap();
    assert!(other.append("t", row(3)).is_err());
    other.commit().unwrap();
    assert_eq!(catalog.snapshot().table("t").unwrap().rows(), 3);
}

#[test]
fn test_other_columns_keep_rows_positions_and_deletes() {
    let rows = 5000;
    let a = ints((0..rows).map(|i| Some(i % 7)));
    let b: ArrayRef =
        Arc::new(StringViewArray::from_iter_values((0..rows).map(|i| format!("text {i}"))));
    let table = table_of(&[("a", a), ("b", b)]);
    let extra = segment(&[("a", ints([None])), ("b", Arc::new(StringViewArray::from(vec!["z"])))]);
    let table = table.append(&[extra]).unwrap().without(&[0, 4999]).unwrap();
    let text = Scalar::text("new");
    let schema = Schema::new(vec![
        ColumnDef::new("b", LogicalType::Text),
        ColumnDef::new("c", LogicalType::Text),
        ColumnDef::new("d", LogicalType::Int64),
    ]);
    let null = Scalar::null(LogicalType::Int64);
    let other = table
        .with_columns(
            Arc::new(schema),
            &[NewColumn::Old(1), NewColumn::New(text), NewColumn::New(null)],
            Arc::default(),
            &Serial,
        )
        .unwrap();
    assert_eq!((other.rows(), other.positions()), (table.rows(), table.positions()));
    assert_eq!(other.layout(), table.layout());
    assert!(other.version() > table.version());
    for (old, new) in table.parts().zip(other.parts()) {
        let rows = old.segment.rows();
        let read = |part: &Part, column: usize| {
            part.segment.columns()[column].read(0..rows).unwrap().flatten().unwrap()
        };
        assert_eq!(&read(old, 1), &read(new, 0));
        assert!(read(new, 1).as_string_view().iter().all(|text| text == Some("new")));
        assert_eq!(read(new, 2).null_count(), rows);
        assert!(matches!(new.segment.columns()[1].encoding().unwrap(), Encoding::Constant(_)));
        assert_eq!(old.live_rows(), new.live_rows());
    }
    // Rows can be appended behind constants, also so many that segments are put together.
    let mut other = other;
    for i in 0..200 {
        let b: ArrayRef = Arc::new(StringViewArray::from(vec!["more"]));
        let c: ArrayRef = Arc::new(StringViewArray::from(vec![Some("x").filter(|_| i % 2 == 0)]));
        other = other.append(&[segment(&[("b", b), ("c", c), ("d", ints([Some(i)]))])]).unwrap();
    }
    assert_eq!(other.rows(), table.rows() + 200);
    let sum: i64 = other
        .parts()
        .map(|part| {
            let d = part.segment.columns()[2].read(0..part.segment.rows()).unwrap();
            d.flatten().unwrap().as_primitive::<Int64Type>().iter().flatten().sum::<i64>()
        })
        .sum();
    assert_eq!(sum, 199 * 200 / 2);
    let wrong = Schema::new(vec![ColumnDef::new("b", LogicalType::Int64)]);
    let with = |schema: Schema, from: &[NewColumn]| {
        table.with_columns(Arc::new(schema), from, Arc::default(), &Serial)
    };
    assert!(with(wrong, &[NewColumn::Old(1)]).is_err());
    assert!(with(Schema::default(), &[]).is_err());
}
