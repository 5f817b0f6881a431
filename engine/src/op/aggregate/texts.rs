//! Texts and blobs of a group column as numbers that mean the same in the whole query, so that groups are keyed by words
//! of 32 bits and each entry of a dictionary is hashed and compared once a query.
//!
//! Invariants: equal byte strings have one number, different ones different numbers. Numbers depend on timing and never
//! show: groups come in the order of their first rows, whatever their keys. Next: `strings.rs` (the table), `groups.rs`, which asks for numbers,
//! and `source.rs`, which turns them into texts again.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryViewArray, StringViewArray, UInt32Array},
    buffer::{Buffer, NullBuffer},
    compute,
    datatypes::UInt32Type,
};
use hashbrown::HashMap;
use stoadb_storage::{DictionaryValues, LogicalType, Vector, vector::DictionaryVector};

use super::strings::{Candidate, Shard, views};
use crate::{
    agg::input::text,
    context::{MemoryPool, QueryContext, Reservation},
    error::{EngineError, Result},
    kernel::hash::{hash_bytes, hash_entries},
    scheduler::Workers,
};

/// Parts of the table that are locked one by one.
const SHARDS: usize = 64;
/// A number's lowest bits say which part its string is in.
pub(super) const SHARD_BITS: u32 = SHARDS.trailing_zeros();
/// How many strings are looked up at a time.
const AHEAD: usize = 32;
/// When one in so many entries of a dictionary was asked for, all are numbered.
const WHOLE: usize = 4;
/// Of so many dictionaries and more, those that no worker uses are forgotten; their strings keep their numbers.
const MOST_DICTIONARIES: usize = 64;

/// The numbers of one group column's texts or blobs.
pub(super) struct Texts {
    ty: LogicalType,
    shards: Vec<Mutex<Shard>>,
    memory: Arc<MemoryPool>,
    dictionaries: Mutex<HashMap<u64, Arc<Known>>>,
    sealed: OnceLock<Sealed>,
}

/// What is known of a dictionary.
struct Known {
    /// The number plus one of each entry; 0 until an entry is first asked for.
    numbers: Box<[AtomicU32]>,
    /// How many rows asked for entries that were not known.
    asked: AtomicUsize,
    /// Whether somebody numbers, or has numbered, all entries at once.
    whole: AtomicBool,
    /// For the numbers.
    _memory: Reservation,
}

/// One worker's memory of the dictionary that it saw last, and its buffers.
#[derive(Default)]
pub(super) struct TextScratch {
    dictionary: Option<(u64, Arc<Known>)>,
    missing: Vec<u32>,
    hashes: Vec<u32>,
    order: Vec<u32>,
}

/// All strings, when no more are to come.
struct Sealed {
    /// Where each shard's strings start.
    starts: [u32; SHARDS],
    dictionary: Arc<DictionaryValues>,
}

impl Texts {
    /// For a column of texts or blobs.
    pub(super) fn new(ty: &LogicalType, context: &QueryContext) -> Self {
        let shard = || Mutex::new(Shard::new(context));
        Self {
            ty: ty.clone(),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
            memory: Arc::clone(context.memory()),
            dictionaries: Mutex::default(),
            sealed: OnceLock::new(),
        }
    }

    /// The numbers of a vector's values as a vector of type UINTEGER; arbitrary under NULL.
    ///
    /// # Errors
    /// `OutOfMemory` when the budget is used up; `Unsupported` beyond 2^32 strings.
    pub(super) fn numbers(&self, vector: &Vector, scratch: &mut TextScratch) -> Result<Vector> {
        let nulls = vector.nulls().filter(|nulls| nulls.null_count() > 0);
        let mut numbers = vec![0; vector.len()];
        match vector {
            Vector::Constant { value, .. } => {
                if !value.is_null() {
                    let mut one = [0];
                    hash_rows(&[0], |_| text(value.array(), 0), &mut scratch.hashes);
                    self.intern(&[0], |_| text(value.array(), 0), scratch, &mut one)?;
                    numbers.fill(one[0]);
                }
            }
            Vector::Dictionary(dictionary) => {
                self.of_dictionary(dictionary, nulls.as_ref(), scratch, &mut numbers)?;
            }
            _ => {
                let array = vector.flatten()?;
                let views = views(&array);
                let is_valid = |row: usize| nulls.as_ref().is_none_or(|n| n.is_valid(row));
                // The row before has the same text: joins give the rows of one match after the other.
                let repeats =
                    |row: usize| row > 0 && views[row] == views[row - 1] && is_valid(row - 1);
                let is_new = |row: &u32| is_valid(*row as usize) && !repeats(*row as usize);
                let rows: Vec<u32> = (0..array.len() as u32).filter(is_new).collect();
                hash_rows(&rows, |row| text(&array, row), &mut scratch.hashes);
                self.intern(&rows, |row| text(&array, row), scratch, &mut numbers)?;
                for row in (1..numbers.len()).filter(|&row| repeats(row)) {
                    numbers[row] = numbers[row - 1];
                }
            }
        }
        Ok(Vector::Flat(Arc::new(UInt32Array::new(numbers.into(), nulls))))
    }

    fn of_dictionary(
        &self,
        vector: &DictionaryVector,
        nulls: Option<&NullBuffer>,
        scratch: &mut TextScratch,
        numbers: &mut [u32],
    ) -> Result<()> {
        let entries = vector.dictionary.values();
        let known = self.known(&vector.dictionary, scratch)?;
        let codes = vector.codes_u32();
        let is_valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
        let mut missing = std::mem::take(&mut scratch.missing);
        missing.clear();
        for (row, (&code, number)) in codes.iter().zip(&mut *numbers).enumerate() {
            // A dictionary without entries has only NULLs.
            let found = known.numbers.get(code as usize);
            let found = found.map_or(0, |number| number.load(Ordering::Relaxed));
            *number = found.wrapping_sub(1);
            if found == 0 && is_valid(row) {
                missing.push(row as u32);
            }
        }
        if !missing.is_empty() {
            hash_rows(&missing, |row| text(entries, codes[row] as usize), &mut scratch.hashes);
            let entry = |row: usize| text(entries, codes[row] as usize);
            self.intern(&missing, entry, scratch, numbers)?;
            for &row in &missing {
                let code = codes[row as usize] as usize;
                known.numbers[code].store(numbers[row as usize] + 1, Ordering::Relaxed);
            }
            let asked = known.asked.fetch_add(missing.len(), Ordering::Relaxed) + missing.len();
            if asked * WHOLE > entries.len() && !known.whole.swap(true, Ordering::Relaxed) {
                self.number_all(&vector.dictionary, &known, scratch)?;
            }
        }
        scratch.missing = missing;
        Ok(())
    }

    /// Numbers the entries of a dictionary that have no number: together, so that each shard stays in the caches.
    fn number_all(
        &self,
        dictionary: &DictionaryValues,
        known: &Known,
        scratch: &mut TextScratch,
    ) -> Result<()> {
        let entries = dictionary.values();
        let nulls = entries.logical_nulls();
        let hashes = dictionary.hashes(hash_entries);
        let is_open = |code: &u32| {
            known.numbers[*code as usize].load(Ordering::Relaxed) == 0
                && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*code as usize))
        };
        let open: Vec<u32> = (0..entries.len() as u32).filter(is_open).collect();
        scratch.hashes.clear();
        scratch.hashes.extend(open.iter().map(|&code| hashes[code as usize]));
        let mut numbers = vec![0; entries.len()];
        self.intern(&open, |code| text(entries, code), scratch, &mut numbers)?;
        for &code in &open {
            known.numbers[code as usize].store(numbers[code as usize] + 1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// What is known of a dictionary's entries.
    fn known(
        &self,
        dictionary: &DictionaryValues,
        scratch: &mut TextScratch,
    ) -> Result<Arc<Known>> {
        if let Some((id, known)) = &scratch.dictionary
            && *id == dictionary.id()
        {
            return Ok(Arc::clone(known));
        }
        let id = dictionary.id();
        // What the worker used before may be forgotten now.
        scratch.dictionary = None;
        let all = || self.dictionaries.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all().get(&id).map(Arc::clone);
        let known = match found {
            Some(known) => known,
            None => {
                // No lock is held while memory is asked for, since whoever gives some back may need one.
                let entries = dictionary.values().len();
                let mut memory = self.memory.reservation("aggregation");
                memory.grow(entries as u64 * 4)?;
                let known = Arc::new(Known {
                    numbers: (0..entries).map(|_| AtomicU32::new(0)).collect(),
                    asked: AtomicUsize::new(0),
                    whole: AtomicBool::new(false),
                    _memory: memory,
                });
                let mut all = all();
                if all.len() >= MOST_DICTIONARIES {
                    all.retain(|_, known| Arc::strong_count(known) > 1);
                }
                // Another worker may have been faster.
                Arc::clone(all.entry(id).or_insert(known))
            }
        };
        scratch.dictionary = Some((id, Arc::clone(&known)));
        Ok(known)
    }

    fn lock(&self, shard: usize) -> std::sync::MutexGuard<'_, Shard> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the numbers of some rows, whose hashes are in `scratch`. Shards are locked once each.
    fn intern<'a>(
        &self,
        rows: &[u32],
        value: impl Fn(usize) -> &'a [u8],
        scratch: &mut TextScratch,
        numbers: &mut [u32],
    ) -> Result<()> {
        let TextScratch { hashes, order, .. } = scratch;
        let shard_of = |hash: u32| hash as usize % SHARDS;
        let mut starts = [0_usize; SHARDS + 1];
        for &hash in &*hashes {
            starts[shard_of(hash) + 1] += 1;
        }
        for shard in 0..SHARDS {
            starts[shard + 1] += starts[shard];
        }
        let mut next = starts;
        order.clear();
        order.resize(rows.len(), 0);
        for (at, &hash) in (0_u32..).zip(&*hashes) {
            let place = &mut next[shard_of(hash)];
            order[*place] = at;
            *place += 1;
        }
        for number in 0..SHARDS {
            let places = &order[starts[number]..starts[number + 1]];
            if places.is_empty() {
                continue;
            }
            let mut shard = self.lock(number);
            shard.reserve(places.len())?;
            for places in places.chunks(AHEAD) {
                // Slots, views and bytes each for all strings before the next: their cache misses overlap.
                let mut found = [Candidate::default(); AHEAD];
                for (found, &at) in found.iter_mut().zip(places) {
                    found.slot = shard.find(hashes[at as usize]);
                }
                found[..places.len()].iter_mut().for_each(|found| shard.look(found));
                let touched = found[..places.len()].iter().map(|found| shard.touch(found));
                std::hint::black_box(touched.fold(0, |all, byte| all ^ byte));
                for (found, &at) in found.iter().zip(places) {
                    let row = rows[at as usize] as usize;
                    let place = shard.intern(hashes[at as usize], value(row), found)?;
                    numbers[row] = place << SHARD_BITS | number as u32;
                }
            }
        }
        Ok(())
    }

    /// No string will come any more. O(strings), on all cores.
    ///
    /// # Errors
    /// `Internal` when a text is no UTF-8.
    pub(super) fn seal(&self, workers: &Workers) -> Result<()> {
        let arrays = workers.map(SHARDS, |number| {
            let mut shard = self.lock(number);
            shard.slots = Vec::new();
            let views = std::mem::take(&mut shard.views).into();
            let blocks = std::mem::take(&mut shard.blocks);
            let blocks: Vec<Buffer> = blocks.into_iter().map(Buffer::from_vec).collect();
            let array: ArrayRef = match self.ty {
                LogicalType::Blob => Arc::new(BinaryViewArray::try_new(views, blocks, None)?),
                _ => Arc::new(StringViewArray::try_new(views, blocks, None)?),
            };
            Ok(array)
        })?;
        let mut starts = [0; SHARDS];
        let mut strings = 0;
        for (start, array) in starts.iter_mut().zip(&arrays) {
            *start = strings;
            strings += array.len() as u32;
        }
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let dictionary = Arc::new(DictionaryValues::new(compute::concat(&arrays)?));
        self.sealed
            .set(Sealed { starts, dictionary })
            .map_err(|_| EngineError::Internal("texts were sealed twice".into()))
    }

    /// The strings of numbers, once sealed, as codes into all of them.
    ///
    /// # Errors
    /// `Internal` when the numbers are of another type.
    pub(super) fn strings(&self, numbers: &ArrayRef) -> Result<Vector> {
        let missing = || EngineError::Internal("a group without its text".into());
        let sealed = self.sealed.get().ok_or_else(missing)?;
        let numbers = numbers.as_primitive_opt::<UInt32Type>().ok_or_else(missing)?;
        let code = |&number: &u32| sealed.starts[number as usize % SHARDS] + (number >> SHARD_BITS);
        let codes = match numbers.nulls() {
            None => numbers.values().iter().map(code).collect(),
            Some(nulls) => {
                let rows = numbers.values().iter().zip(nulls);
                rows.map(|(number, valid)| if valid { code(number) } else { 0 }).collect()
            }
        };
        Ok(Vector::Dictionary(DictionaryVector {
            codes: Arc::new(UInt32Array::new(codes, numbers.nulls().cloned())),
            dictionary: Arc::clone(&sealed.dictionary),
            charge: None,
        }))
    }
}

/// The type under which values of a type stand in keys: texts and blobs as their numbers.
pub(super) fn key_type(ty: &LogicalType) -> LogicalType {
    match ty {
        LogicalType::Text | LogicalType::Blob => LogicalType::UInt32,
        other => other.clone(),
    }
}

/// Collects the columns of texts and blobs that are grouped by, each once.
pub(super) struct TextColumns<'a> {
    context: &'a QueryContext,
    pub(super) texts: Vec<Texts>,
    columns: Vec<usize>,
}

impl<'a> TextColumns<'a> {
    /// No column yet.
    pub(super) fn new(context: &'a QueryContext) -> Self {
        Self { context, texts: Vec::new(), columns: Vec::new() }
    }

    /// The place of a column's texts; `None` when it has none.
    pub(super) fn add(&mut self, ty: &LogicalType, column: usize) -> Option<usize> {
        if key_type(ty) == *ty {
            return None;
        }
        let known = self.columns.iter().position(|&known| known == column);
        Some(known.unwrap_or_else(|| {
            self.columns.push(column);
            self.texts.push(Texts::new(ty, self.context));
            self.texts.len() - 1
        }))
    }
}

fn hash_rows<'a>(rows: &[u32], value: impl Fn(usize) -> &'a [u8], hashes: &mut Vec<u32>) {
    hashes.clear();
    hashes.extend(rows.iter().map(|&row| hash_bytes(value(row as usize))));
}

#[cfg(test)]
mod tests {
    use arrow::array::UInt8Array;

    use super::*;
    use crate::context::QuerySettings;

    #[test]
    fn test_rows_that_repeat_have_the_number_of_their_text() {
        let context = QueryContext::new(QuerySettings::default(), Arc::default(), Vec::new());
        for ty in [LogicalType::Text, LogicalType::Blob] {
            let texts = Texts::new(&ty, &context);
            let mut scratch = TextScratch::default();
            let rows = "aab bba-aa--ccc ab".replace(' ', "").repeat(3);
            let text = |c: char| (c != '-').then(|| format!("{c} of more than twelve bytes"));
            let array = StringViewArray::from_iter(rows.chars().map(text));
            // Rows of one view, as those that a join repeats are.
            let ascending: UInt32Array = (0..rows.len() as u32).flat_map(|i| [i, i, i]).collect();
            let array = compute::take(&array, &ascending, None).unwrap();
            let array = compute::cast(&array, &ty.to_arrow()).unwrap();
            let vector = Vector::Flat(Arc::clone(&array));
            let numbers = texts.numbers(&vector, &mut scratch).unwrap().flatten().unwrap();
            let numbers = numbers.as_primitive::<UInt32Type>();
            assert_eq!(numbers.logical_nulls(), array.logical_nulls());
            let valid = |row: &usize| array.is_valid(*row);
            for a in (0..array.len()).filter(valid) {
                for b in (0..array.len()).filter(valid) {
                    let same = super::text(&array, a) == super::text(&array, b);
                    assert_eq!(numbers.value(a) == numbers.value(b), same, "{a} {b}");
                }
            }
        }
    }

    #[test]
    fn test_dictionaries_that_nobody_uses_are_forgotten_and_their_texts_keep_their_numbers() {
        let context = QueryContext::new(QuerySettings::default(), Arc::default(), Vec::new());
        let texts = Texts::new(&LogicalType::Text, &context);
        let mut scratch = TextScratch::default();
        let mut first = None;
        for round in 0..10 * MOST_DICTIONARIES {
            let entries = ["same".to_owned(), format!("of {}", round % 7)];
            let entries: ArrayRef = Arc::new(StringViewArray::from_iter_values(entries));
            let vector = Vector::Dictionary(DictionaryVector {
                codes: Arc::new(UInt8Array::from(vec![Some(1), Some(0), None])),
                dictionary: Arc::new(DictionaryValues::new(entries)),
                charge: None,
            });
            let numbers = texts.numbers(&vector, &mut scratch).unwrap().flatten().unwrap();
            let same = numbers.as_primitive::<UInt32Type>().value(1);
            assert_eq!(*first.get_or_insert(same), same);
            let known = texts.dictionaries.lock().unwrap().len();
            assert!(known <= MOST_DICTIONARIES + 1, "{known}");
        }
        let strings: usize = texts.shards.iter().map(|s| s.lock().unwrap().views.len()).sum();
        assert_eq!(strings, 8);
        let used = context.memory().used();
        drop((texts, scratch));
        assert!(context.memory().used() < used);
        assert_eq!(context.memory().used(), 0);
    }
}
