//! Compaction: parts of which much is deleted, and small ones, are written anew without the deleted rows.
//!
//! Invariants: the rows that are left and their order stay what they are, so no answer changes; the version that is
//! compacted stays as it is for who reads it. Compaction moves rows: it makes a new layout (`version.rs`), and belongs into
//! the catalog only through `../catalog/tidy.rs`. Without being asked only parts are written anew of which half is
//! deleted, so that a row is copied at most once for every row that is deleted, and at most `SEGMENT_ROWS` at a time.
//! Next: `unify.rs`, which lets new parts use the table's dictionaries again.

use std::{ops::Range, sync::Arc};

use crate::{
    BLOCK_ROWS, SEGMENT_ROWS,
    error::Result,
    scan::Relation,
    table::{
        builder::SegmentBuilder,
        moves::Moves,
        scan::Live,
        segment::Segment,
        tail::{Part, PartList},
        unify::adopt,
        version::TableVersion,
    },
};

/// Parts with fewer rows are put together with their neighbours.
const SMALL_ROWS: usize = SEGMENT_ROWS / 4;

/// Which parts are to be written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thoroughness {
    /// Those of which half is deleted, up to `SEGMENT_ROWS` rows; after every DELETE and UPDATE.
    Bounded,
    /// All with a deleted row, and all small ones: VACUUM.
    Whole,
}

/// Consecutive parts that become one, or none when all of their rows are deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactionGroup(Range<usize>);

impl TableVersion {
    /// Whether moving rows is worth what it costs the indexes, each of whose entries gets another row id: without any
    /// always, else when an eighth of the rows is gone.
    pub(crate) fn is_worth_moving(&self) -> bool {
        let indexed = self.indexes().iter().any(|index| index.built().is_some());
        !indexed || (self.positions() - self.rows()) * 8 >= self.positions()
    }

    /// What compaction would put together, in order. O(parts).
    pub fn compaction(&self, thoroughness: Thoroughness) -> Vec<CompactionGroup> {
        let parts: Vec<&Part> = self.parts().collect();
        let settled = self.parts_settled().filter(|(_, settled)| *settled).count();
        let mut groups = vec![];
        for zone in [0..settled, settled..parts.len()] {
            find_groups(&parts, zone, thoroughness, &mut groups);
        }
        if thoroughness == Thoroughness::Bounded {
            let mut left = SEGMENT_ROWS;
            groups.retain(|group: &CompactionGroup| {
                let rows: usize = parts[group.0.clone()].iter().map(|part| part.live_rows()).sum();
                let fits = rows == 0 || rows <= left;
                left -= if fits { rows } else { 0 };
                fits
            });
        }
        groups
    }

    /// The segment that a group becomes; `None` when no row of it is left. O(rows of the group).
    ///
    /// # Errors
    /// `Corrupt` when a column of a saved database is damaged.
    pub fn compacted_group(&self, group: &CompactionGroup) -> Result<Option<Arc<Segment>>> {
        let mut builder = SegmentBuilder::new(Arc::clone(self.shared_schema()));
        for part in self.parts().skip(group.0.start).take(group.0.len()) {
            let rows = part.segment.rows();
            for start in (0..rows).step_by(BLOCK_ROWS) {
                let range = start..rows.min(start + BLOCK_ROWS);
                let live = part.deletes.as_ref().map_or(Live::All, |mask| mask.live(range.clone()));
                let selection = match live {
                    Live::None => continue,
                    Live::All => None,
                    Live::Some(selection) => Some(selection),
                };
                let columns = part.segment.columns().iter();
                let vectors = columns.map(|column| column.read(range.clone()));
                builder.push(&vectors.collect::<Result<Vec<_>>>()?, selection.as_ref())?;
            }
        }
        if builder.rows() == 0 {
            return Ok(None);
        }
        Ok(Some(Arc::new(builder.finish()?)))
    }

    /// The version with groups, in order, replaced by what `compacted_group` made of them: a new layout.
    ///
    /// # Errors
    /// `Corrupt` when a dictionary of a saved database is damaged.
    pub fn compacted(&self, groups: Vec<(CompactionGroup, Option<Arc<Segment>>)>) -> Result<Self> {
        let mut list = PartList::default();
        let mut settled: Vec<Part> = vec![];
        let mut new = vec![];
        let mut groups = groups.into_iter().peekable();
        let mut end = 0;
        let mut moves = Moves::default();
        for (number, (part, is_settled)) in self.parts_settled().enumerate() {
            let rows = part.segment.rows();
            if number < end {
                moves.compact(rows, part.deletes.as_ref());
                continue;
            }
            let group = groups.next_if(|(group, _)| group.0.start == number);
            match group {
                None => moves.keep(rows),
                Some(_) => moves.compact(rows, part.deletes.as_ref()),
            }
            let (part, is_new) = match group {
                None => (part.clone(), false),
                Some((group, segment)) => {
                    end = group.0.end;
                    let Some(segment) = segment else { continue };
                    (Part::new(segment), true)
                }
            };
            match is_settled {
                false => list.tail.push(part),
                true => {
                    new.extend(is_new.then_some(settled.len()));
                    settled.push(part);
                }
            }
        }
        // Only the last one adopts the others' dictionaries: each new part is that for a moment.
        for place in new {
            settled[place..].rotate_left(1);
            adopt(&mut settled)?;
            settled[place..].rotate_right(1);
        }
        list.settled = Arc::new(settled);
        self.laid_out(list, &moves)
    }
}

/// Appends the groups among the parts of a zone.
fn find_groups(
    parts: &[&Part],
    zone: Range<usize>,
    thoroughness: Thoroughness,
    groups: &mut Vec<CompactionGroup>,
) {
    let whole = thoroughness == Thoroughness::Whole;
    let live = |i: usize| parts[i].live_rows();
    let rows = |i: usize| parts[i].segment.rows();
    let wanted = |i: usize| match whole {
        true => parts[i].deletes.is_some() || rows(i) < SMALL_ROWS,
        false => live(i) * 2 <= rows(i),
    };
    // A small neighbour is copied along when that costs no more than the group does anyway.
    let joins = |i: usize, left: usize, all: usize| {
        let room = left + live(i) <= SEGMENT_ROWS;
        room && (wanted(i) || (left > 0 && live(i) < SMALL_ROWS && live(i) <= all))
    };
    let mut from = zone.start;
    let mut i = zone.start;
    while i < zone.end {
        if !wanted(i) {
            i += 1;
            continue;
        }
        let mut group = i..i + 1;
        let (mut left, mut all) = (live(i), rows(i));
        while group.end < zone.end && joins(group.end, left, all) {
            left += live(group.end);
            all += rows(group.end);
            group.end += 1;
        }
        while left > 0 && group.start > from && joins(group.start - 1, left, all) {
            group.start -= 1;
            left += live(group.start);
            all += rows(group.start);
        }
        (i, from) = (group.end, group.end);
        if group.len() > 1 || left < all {
            groups.push(CompactionGroup(group));
        }
    }
}
