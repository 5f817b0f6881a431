//! From rows to the groups of a morsel.
//!
//! Three ways, by what the data shows: when all keys are codes of a small joint domain, an array from code to group
//! (a memo over the table, filled as codes are first seen); else a table of packed keys; and once the first rows of a
//! morsel show few repeats, a group per row, since looking for equals would find none.
//! Invariant: groups are numbered in the order of their first rows, and the choice depends on the morsel's rows alone.

use arrow::{
    array::{Array, AsArray, UInt32Array},
    datatypes::{DataType, UInt8Type, UInt16Type},
};
use stoadb_storage::{Scalar, Vector};

use crate::{agg::table::KeyTable, error::Result, kernel::key::Keys};

use super::{
    GroupingSet,
    texts::{TextScratch, Texts},
};

/// Most entries of the memo: room for codes of 16 bits and NULL.
const MEMO_ENTRIES: usize = 1 << 17;
const UNKNOWN: u32 = u32::MAX;
/// After how many rows of a morsel it is decided whether looking for equals pays.
const TRIAL_ROWS: usize = 8192;
/// It does not when there are more groups than this.
const TRIAL_GROUPS: usize = TRIAL_ROWS / 4 * 3;

/// The groups of one morsel and the group of each row of the last batch.
pub(super) struct GroupIds {
    table: KeyTable,
    ids: Vec<u32>,
    keys: Keys,
    hashes: Vec<u64>,
    rows: usize,
    /// Whether every further row is a group of its own.
    fresh: bool,
    memo: Vec<u32>,
    domains: Vec<Domain>,
    texts: Vec<TextScratch>,
}

/// Where a key column's codes come from: codes mean the same while this stays the same.
#[derive(PartialEq)]
struct Domain {
    origin: Origin,
    size: usize,
}

#[derive(PartialEq)]
enum Origin {
    Dictionary(u64),
    Offsets(i64),
    Boolean,
    Constant(Scalar),
}

impl GroupIds {
    pub(super) fn new(set: &GroupingSet) -> Self {
        let width = set.layout.width();
        Self {
            table: KeyTable::new(width),
            ids: Vec::new(),
            keys: Keys::new(width),
            hashes: Vec::new(),
            rows: 0,
            fresh: false,
            memo: Vec::new(),
            domains: Vec::new(),
            texts: set.texts.iter().map(|_| TextScratch::default()).collect(),
        }
    }

    /// How many groups there are.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// The group of each row of the last batch.
    pub(super) fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The keys of the groups and their hashes.
    pub(super) fn into_parts(self) -> (Keys, Vec<u64>) {
        self.table.into_parts()
    }

    /// Bytes of memory held.
    pub(super) fn memory(&self) -> u64 {
        self.table.memory() + self.keys.memory() + self.memo.capacity() as u64 * 4
    }

    /// Finds the group of each row of a batch.
    ///
    /// # Errors
    /// `Internal` when the columns do not fit the layout.
    pub(super) fn assign(
        &mut self,
        set: &GroupingSet,
        texts: &[Texts],
        keys: &[Vector],
        rows: usize,
    ) -> Result<()> {
        let domains: Option<Vec<Domain>> =
            if self.fresh { None } else { keys.iter().map(domain).collect() };
        let entries = domains.as_ref().and_then(|domains| {
            domains.iter().try_fold(1_usize, |product, domain| product.checked_mul(domain.size))
        });
        match (domains, entries) {
            (Some(domains), Some(entries)) if entries <= MEMO_ENTRIES => {
                if domains != self.domains {
                    self.memo.clear();
                    self.memo.resize(entries, UNKNOWN);
                    self.domains = domains;
                }
                self.rows += rows;
                self.assign_memo(set, texts, keys, rows)
            }
            _ => {
                self.pack(set, texts, keys, rows)?;
                self.assign_table(rows);
                Ok(())
            }
        }
    }

    /// The keys of rows and their hashes.
    fn pack(
        &mut self,
        set: &GroupingSet,
        texts: &[Texts],
        keys: &[Vector],
        rows: usize,
    ) -> Result<()> {
        if set.texts.iter().all(Option::is_none) {
            set.layout.pack(keys, rows, &mut self.keys)?;
        } else {
            let mut numbered = keys.to_vec();
            let places = numbered.iter_mut().zip(&set.texts).zip(&mut self.texts);
            for ((key, place), scratch) in places {
                if let Some(texts) = place.and_then(|place| texts.get(place)) {
                    *key = texts.numbers(key, scratch)?;
                }
            }
            set.layout.pack(&numbered, rows, &mut self.keys)?;
        }
        self.keys.hashes(&mut self.hashes);
        Ok(())
    }

    fn assign_memo(
        &mut self,
        set: &GroupingSet,
        texts: &[Texts],
        keys: &[Vector],
        rows: usize,
    ) -> Result<()> {
        self.ids.clear();
        self.ids.resize(rows, 0);
        let mut stride = 1;
        for (key, domain) in keys.iter().zip(&self.domains) {
            add_codes(key, stride as u32, domain.size as u32, &mut self.ids);
            stride *= domain.size;
        }
        let mut missing = Vec::new();
        for (row, &code) in self.ids.iter().enumerate() {
            if self.memo[code as usize] == UNKNOWN {
                // A group's number stands for now only for being known to be missing once.
                self.memo[code as usize] = UNKNOWN - 1;
                missing.push(row as u32);
            }
        }
        if !missing.is_empty() {
            let rows = UInt32Array::from(missing);
            let keys = keys.iter().map(|key| Ok(key.take(&rows)?)).collect::<Result<Vec<_>>>()?;
            self.pack(set, texts, &keys, rows.len())?;
            let mut groups = Vec::with_capacity(rows.len());
            self.table.insert(&self.keys, &self.hashes, 0..rows.len() as u32, &mut groups);
            for (&row, &group) in rows.values().iter().zip(&groups) {
                self.memo[self.ids[row as usize] as usize] = group;
            }
        }
        for id in &mut self.ids {
            *id = self.memo[*id as usize];
        }
        Ok(())
    }

    /// Finds the groups of packed keys.
    fn assign_table(&mut self, rows: usize) {
        // The trial ends at a row, not at the end of a batch.
        let trial = TRIAL_ROWS.saturating_sub(self.rows).min(rows);
        self.rows += rows;
        if self.fresh {
            self.table.append(&self.keys, &self.hashes, 0, &mut self.ids);
            return;
        }
        let decide = trial > 0 && trial < rows || self.rows == TRIAL_ROWS;
        if !decide {
            self.table.insert(&self.keys, &self.hashes, 0..rows as u32, &mut self.ids);
            return;
        }
        self.table.insert(&self.keys, &self.hashes, 0..trial as u32, &mut self.ids);
        self.fresh = self.table.len() > TRIAL_GROUPS;
        let mut rest = Vec::new();
        if self.fresh {
            self.table.append(&self.keys, &self.hashes, trial, &mut rest);
        } else {
            self.table.insert(&self.keys, &self.hashes, trial as u32..rows as u32, &mut rest);
        }
        self.ids.append(&mut rest);
    }
}

/// The domain of a key column's codes, NULL included as the last one.
fn domain(vector: &Vector) -> Option<Domain> {
    Some(match vector {
        Vector::Constant { value, .. } => {
            Domain { origin: Origin::Constant(value.clone()), size: 1 }
        }
        Vector::Dictionary(vector) => Domain {
            origin: Origin::Dictionary(vector.dictionary.id()),
            size: vector.dictionary.values().len() + 1,
        },
        Vector::Narrow(vector) => {
            let size = match vector.offsets.data_type() {
                DataType::UInt8 => 1 << 8,
                DataType::UInt16 => 1 << 16,
                _ => return None,
            };
            Domain { origin: Origin::Offsets(vector.base), size: size + 1 }
        }
        Vector::Flat(array) if *array.data_type() == DataType::Boolean => {
            Domain { origin: Origin::Boolean, size: 3 }
        }
        Vector::Flat(_) => return None,
    })
}

/// Adds `stride` times the code of each row.
fn add_codes(vector: &Vector, stride: u32, size: u32, out: &mut [u32]) {
    let null = size - 1;
    let nulls = match vector {
        Vector::Constant { .. } => return,
        Vector::Dictionary(vector) => {
            let codes = vector.codes.as_ref();
            match codes.data_type() {
                DataType::UInt8 => add(codes.as_primitive::<UInt8Type>().values(), stride, out),
                DataType::UInt16 => add(codes.as_primitive::<UInt16Type>().values(), stride, out),
                _ => add(&vector.codes_u32(), stride, out),
            }
            vector.codes.nulls()
        }
        Vector::Narrow(vector) => {
            let offsets = vector.offsets.as_ref();
            match offsets.data_type() {
                DataType::UInt8 => add(offsets.as_primitive::<UInt8Type>().values(), stride, out),
                _ => add(offsets.as_primitive::<UInt16Type>().values(), stride, out),
            }
            vector.offsets.nulls()
        }
        Vector::Flat(array) => {
            let array = array.as_boolean();
            for (out, value) in out.iter_mut().zip(array.values()) {
                *out += u32::from(value) * stride;
            }
            array.nulls()
        }
    };
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else { return };
    let mut code = vec![0; out.len()];
    codes_of(vector, &mut code);
    for (row, out) in out.iter_mut().enumerate() {
        if nulls.is_null(row) {
            *out = *out - code[row] * stride + null * stride;
        }
    }
}

/// The code of each row, whatever it is under NULL.
fn codes_of(vector: &Vector, out: &mut [u32]) {
    match vector {
        Vector::Dictionary(vector) => out.copy_from_slice(&vector.codes_u32()),
        Vector::Narrow(vector) => match vector.offsets.data_type() {
            DataType::UInt8 => add(vector.offsets.as_primitive::<UInt8Type>().values(), 1, out),
            _ => add(vector.offsets.as_primitive::<UInt16Type>().values(), 1, out),
        },
        Vector::Flat(array) => {
            for (out, value) in out.iter_mut().zip(array.as_boolean().values()) {
                *out = u32::from(value);
            }
        }
        Vector::Constant { .. } => {}
    }
}

fn add<T: Copy + Into<u32>>(codes: &[T], stride: u32, out: &mut [u32]) {
    for (out, &code) in out.iter_mut().zip(codes) {
        *out += code.into() * stride;
    }
}
