//! Compaction against a plain list of rows: which parts are written anew, and that no row is lost or moved.

use std::sync::Arc;

use arrow::{array::*, datatypes::Int64Type};

use super::{tests::Random, *};
use crate::{BLOCK_ROWS, ColumnDef, Encoding, LogicalType, Relation, SEGMENT_ROWS, Schema, Vector};

fn schema() -> Arc<Schema> {
    let text = ColumnDef::new("s", LogicalType::Text);
    Arc::new(Schema::new(vec![ColumnDef::new("id", LogicalType::Int64), text]))
}

fn segment(ids: std::ops::Range<i64>) -> Arc<Segment> {
    let mut builder = SegmentBuilder::new(schema());
    let texts: Vec<String> = (0..9).map(|text| format!("text {text}")).collect();
    let texts = StringViewArray::from_iter_values(ids.clone().map(|id| &texts[id as usize % 9]));
    let ids = Arc::new(Int64Array::from_iter_values(ids));
    builder.push(&[Vector::Flat(ids), Vector::Flat(Arc::new(texts))], None).unwrap();
    Arc::new(builder.finish().unwrap())
}

/// The rows that are left, in order.
fn ids(table: &TableVersion) -> Vec<i64> {
    let mut all = vec![];
    for part in table.parts() {
        let ids = part.segment.columns()[0].read(0..part.segment.rows()).unwrap();
        let texts = part.segment.columns()[1].read(0..part.segment.rows()).unwrap();
        let (ids, texts) = (ids.flatten().unwrap(), texts.flatten().unwrap());
        for (row, &id) in ids.as_primitive::<Int64Type>().values().iter().enumerate() {
            if part.deletes.as_ref().is_none_or(|mask| !mask.is_deleted(row)) {
                let text = texts.as_string_view().value(row);
                assert_eq!(text.as_bytes()[5] - b'0', (id % 9) as u8);
                all.push(id);
            }
        }
    }
    assert_eq!(all.len() as u64, table.rows());
    all
}

fn parts(table: &TableVersion) -> Vec<(usize, usize)> {
    table.parts().map(|part| (part.segment.rows(), part.live_rows())).collect()
}

fn compact(table: &TableVersion, thoroughness: Thoroughness) -> TableVersion {
    let groups = table.compaction(thoroughness);
    let made = groups.into_iter().map(|group| {
        let segment = table.compacted_group(&group).unwrap();
        (group, segment)
    });
    table.compacted(made.collect()).unwrap()
}

#[test]
fn test_half_deleted_parts_are_written_anew_and_empty_ones_dropped() {
    let quarter = SEGMENT_ROWS as i64 / 4;
    let segments = [0, 1, 2, 3].map(|part| segment(part * quarter..(part + 1) * quarter));
    let table = TableVersion::new(schema(), &segments).unwrap();
    let q = quarter as usize;
    assert_eq!(parts(&table), [(q, q); 4]);
    // All of the first, half of the second and not quite half of the third.
    let gone =
        (0..quarter).chain((quarter..2 * quarter).step_by(2)).chain(2 * quarter..2 * quarter + 9);
    let gone: RowSet = gone.map(|row| row as u64).collect();
    let thinned = table.without_rows(&gone).unwrap();
    let want = ids(&thinned);
    let compacted = compact(&thinned, Thoroughness::Bounded);
    // The third has become small enough to be put together with the rest of the second.
    assert_eq!(parts(&compacted), [(q / 2 + q - 9, q / 2 + q - 9), (q, q)]);
    assert_eq!((ids(&compacted), compacted.rows()), (want.clone(), thinned.rows()));
    assert_eq!((compacted.layout(), compacted.version()), (1, thinned.version() + 1));
    assert_eq!(compacted.positions(), compacted.rows());
    // Untouched segments are shared, the table's dictionary is used again, and statistics are of the rows that are left.
    let dictionary = |part: &Part| part.segment.columns()[1].dictionary_id();
    let dictionaries: Vec<_> = compacted.parts().map(dictionary).collect();
    assert!(dictionaries[0].is_some() && dictionaries.iter().all(|d| *d == dictionaries[0]));
    let range = compacted.column_range(0);
    assert_eq!(range.min, Some(crate::Scalar::int64(quarter + 1)));
    // What was read before is what it was.
    assert_eq!(ids(&table), (0..4 * quarter).collect::<Vec<_>>());
    assert!(compacted.compaction(Thoroughness::Bounded).is_empty());
    let whole = compact(&compacted, Thoroughness::Whole);
    assert_eq!(ids(&whole), want);
    assert!(whole.parts().all(|part| part.deletes.is_none()));
    assert!(whole.compaction(Thoroughness::Whole).is_empty());
}

#[test]
fn test_small_parts_are_put_together() {
    let mut table = TableVersion::new(schema(), &[segment(0..BLOCK_ROWS as i64)]).unwrap();
    for row in 0..30 {
        table = table.append(&[segment(1_000_000 + row * 5..1_000_000 + row * 5 + 5)]).unwrap();
    }
    assert!(table.compaction(Thoroughness::Bounded).is_empty());
    let want = ids(&table);
    let whole = compact(&table, Thoroughness::Whole);
    assert_eq!(ids(&whole), want);
    assert_eq!(parts(&whole), [(BLOCK_ROWS, BLOCK_ROWS), (150, 150)]);
    // It goes on growing.
    let more = whole.append(&[segment(0..7)]).unwrap();
    assert_eq!(ids(&more), [want, (0..7).collect()].concat());
    // All rows gone, and rows after that.
    let empty = compact(&more.without_rows(&more.live_rows()).unwrap(), Thoroughness::Bounded);
    assert_eq!((parts(&empty), empty.positions()), (vec![], 0));
    assert_eq!(ids(&empty.append(&[segment(3..5)]).unwrap()), [3, 4]);
}

#[test]
fn test_random_appends_deletes_and_compactions_keep_the_rows() {
    let mut random = Random(11);
    for round in 0..3 {
        let mut table = TableVersion::new(schema(), &[]).unwrap();
        let mut model: Vec<i64> = vec![];
        let mut next = 0;
        for _ in 0..60 {
            match random.below(5) {
                0 | 1 => {
                    let rows =
                        if random.below(12) == 0 { BLOCK_ROWS + 5 } else { random.below(300) };
                    if rows > 0 {
                        table = table.append(&[segment(next..next + rows as i64)]).unwrap();
                    }
                    model.extend(next..next + rows as i64);
                    next += rows as i64;
                }
                2 | 3 => {
                    let share = 1 + random.below(10);
                    let gone: RowSet =
                        table.live_rows().iter().filter(|_| random.below(share) == 0).collect();
                    let live: Vec<u64> = table.live_rows().iter().collect();
                    let kept = live.iter().zip(&model).filter(|(row, _)| !gone.contains(**row));
                    model = kept.map(|(_, &id)| id).collect();
                    let only = table.only(&gone).unwrap();
                    table = table.without_rows(&gone).unwrap();
                    assert_eq!(only.rows(), gone.len());
                    if let Some(row) = gone.last() {
                        assert!(table.without(&[row]).is_err(), "deleted twice");
                    }
                }
                _ => {
                    let how = [Thoroughness::Bounded, Thoroughness::Whole][random.below(2)];
                    table = compact(&table, how);
                }
            }
            assert_eq!(ids(&table), model, "round {round}");
            let dead = table.parts().map(|part| part.segment.rows()).sum::<usize>() - model.len();
            assert_eq!(table.positions(), (model.len() + dead) as u64);
        }
        let settled = compact(&table, Thoroughness::Bounded);
        // Never more than half of what is stored is deleted.
        assert!(settled.parts().all(|part| part.live_rows() * 2 > part.segment.rows()));
    }
    let encoded = segment(0..5000);
    assert!(matches!(encoded.columns()[1].encoding().unwrap(), Encoding::Dictionary { .. }));
}
