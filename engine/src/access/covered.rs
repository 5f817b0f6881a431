//! Rows made of an index alone, where it holds every column that a scan reads.
//!
//! Invariant: the rows are those of the ranges in the order of the table, with the values that the table has; the filter is
//! applied to them as to any others.
//! Next: `../op/entries.rs`, which reads them.

use std::{rc::Rc, sync::Arc};

use arrow::array::ArrayRef;
use stoadb_storage::{
    LogicalType, ScanLedger,
    index::{Index, Place},
};

use super::{
    Candidate, Cost, Target,
    cost::{charge, cheapest, columns},
};
use crate::error::{EngineError, Result};

/// Bytes of finding an entry and bringing it into its row's place.
const ENTRY: u64 = 40;
/// Bytes of reading a value of an entry that is a number.
const NUMBER: u64 = 24;
/// Bytes of reading a text.
const TEXT: u64 = 96;

/// Where an index has a column that can be read back.
#[derive(Debug, Clone, Copy)]
enum Held {
    Key(usize),
    Include(usize),
}

/// Entries that stand for the rows of a scan.
pub(crate) struct Covered {
    index: Arc<Index>,
    places: Vec<Place>,
    /// The columns, as ordinals of the relation, that can be read.
    columns: Vec<(usize, Held)>,
    ledger: Arc<ScanLedger>,
}

impl Covered {
    /// How many rows.
    pub(crate) fn rows(&self) -> usize {
        self.places.len()
    }

    /// A column of some of the rows.
    ///
    /// # Errors
    /// `Internal` for a column that the scan does not read.
    pub(crate) fn read(&self, column: usize, places: &[Place]) -> Result<ArrayRef> {
        let held = self.columns.iter().find(|(other, _)| *other == column);
        let array = match held {
            Some((_, Held::Key(at))) => self.index.key_array(places, *at)?,
            Some((_, Held::Include(at))) => self.index.included_array(places, *at)?,
            None => return Err(EngineError::Internal("an index lacks a column".into())),
        };
        charge(&self.ledger, column, places.len() as u64 * 8);
        Ok(array)
    }

    /// All rows' entries, in row order.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }
}

impl<'a> Target<'a> {
    /// The index that has all columns of the scan and gives the rows at the least cost.
    pub(super) fn cover(
        &self,
        candidates: &[Rc<Candidate<'a>>],
    ) -> Result<Option<(Rc<Candidate<'a>>, Cost)>> {
        let cost = |candidate: &Rc<Candidate<'_>>| {
            let held = self.held(candidate);
            Ok(held.map(|_| candidate.search_cost().plus(self.cover_cost(candidate))))
        };
        cheapest(candidates.iter().cloned(), cost)
    }

    /// The entries of a candidate that `cover` gave.
    pub(super) fn covered(&self, candidate: &Candidate<'_>) -> Option<Covered> {
        let columns = self.held(candidate)?;
        let places = candidate.index.places_in(&candidate.ranges.ranges);
        candidate.charge_search(self.ledger, candidate.ranges.ranges.len());
        let column = candidate.definition.keys[0].column;
        charge(self.ledger, column, places.len() as u64 * 4);
        let (index, ledger) = (Arc::clone(&candidate.index), Arc::clone(self.ledger));
        Some(Covered { index, places, columns, ledger })
    }

    /// Where the index has each column of the scan; `None` when it lacks one.
    fn held(&self, candidate: &Candidate<'_>) -> Option<Vec<(usize, Held)>> {
        let definition = candidate.definition;
        let held = |column: usize| {
            let include = definition.includes.iter().position(|other| other.column == column);
            let key = definition.keys.iter().position(|key| key.column == column);
            let key = key.filter(|at| candidate.index.spec().gives_key(*at));
            Some((column, include.map(Held::Include).or(key.map(Held::Key))?))
        };
        let (filter, rest) = columns(self.plan);
        filter.into_iter().chain(rest).map(held).collect()
    }

    fn cover_cost(&self, candidate: &Candidate<'_>) -> Cost {
        let (filter, rest) = columns(self.plan);
        let all = &self.relation.schema().columns;
        let width = |column: &usize| match all.get(*column).map(|column| &column.ty) {
            Some(LogicalType::Text | LogicalType::Blob) => TEXT,
            _ => NUMBER,
        };
        let widths: u64 = filter.iter().chain(&rest).map(width).sum();
        let bytes = candidate.count().saturating_mul(ENTRY + widths);
        Cost::pipeline().plus(Cost { misses: 0, bytes })
    }
}
