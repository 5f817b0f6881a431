//! Texts and blobs of a group column as numbers that mean the same in the whole query, so that groups are keyed by words
//! of 32 bits and each entry of a dictionary is hashed and compared once a query.
//!
//! Invariants: equal byte strings have one number, different ones different numbers. Numbers depend on timing and never
//! show: groups come in the order of their first rows, whatever their keys. Next: `groups.rs`, which asks for numbers,
//! and `source.rs`, which turns them into texts again.

use std::sync::{
    Arc, Mutex, OnceLock, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryViewArray, StringViewArray, UInt32Array,
        builder::make_view,
    },
    buffer::{Buffer, NullBuffer},
    datatypes::UInt32Type,
};
use hashbrown::HashMap;
use stoadb_storage::{DictionaryValues, LogicalType, Vector, vector::DictionaryVector};

use crate::{
    agg::input::text,
    context::{QueryContext, Reservation},
    error::{EngineError, Result},
    kernel::hash::hash_bytes,
};

/// Parts of the table that are locked one by one.
const SHARDS: usize = 64;
const SHARD_BITS: u32 = SHARDS.trailing_zeros();
/// A number's place within its shard has the other bits.
const MOST_STRINGS: usize = 1 << (u32::BITS - SHARD_BITS);
/// Bytes of long strings are kept in blocks of this size, longer ones in a block of their own.
const BLOCK_BYTES: usize = 1 << 20;
/// Strings of up to so many bytes lie in their view.
const INLINE: usize = 12;

/// The numbers of one group column's texts or blobs.
pub(super) struct Texts {
    ty: LogicalType,
    shards: Vec<Mutex<Shard>>,
    dictionaries: Mutex<HashMap<u64, Arc<Known>>>,
    sealed: OnceLock<Sealed>,
}

/// The number plus one of each entry of a dictionary; 0 until an entry is first asked for.
struct Known(Box<[AtomicU32]>);

/// One worker's memory of the dictionary that it saw last, and its buffers.
#[derive(Default)]
pub(super) struct TextScratch {
    dictionary: Option<(u64, Arc<Known>)>,
    missing: Vec<u32>,
    hashes: Vec<u32>,
    order: Vec<u32>,
}

/// Strings whose hashes share their lowest bits, as Arrow views into blocks.
struct Shard {
    views: Vec<u128>,
    blocks: Vec<Vec<u8>>,
    block_bytes: usize,
    /// Zero, or the hash in the upper half and the place plus one in the lower.
    slots: Vec<u64>,
    /// Held as long as the aggregation's result.
    memory: Reservation,
}

/// All strings, when no more are to come.
struct Sealed {
    /// By shard; buffer numbers are those of `buffers`.
    views: Vec<Vec<u128>>,
    buffers: Arc<[Buffer]>,
}

impl Texts {
    /// For a column of texts or blobs.
    pub(super) fn new(ty: &LogicalType, context: &QueryContext) -> Self {
        let shard = || {
            Mutex::new(Shard {
                views: Vec::new(),
                blocks: Vec::new(),
                block_bytes: 0,
                slots: Vec::new(),
                memory: context.memory().reservation("aggregation"),
            })
        };
        Self {
            ty: ty.clone(),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
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
                    self.intern(&[0], |_| text(value.array(), 0), scratch, &mut one)?;
                    numbers.fill(one[0]);
                }
            }
            Vector::Dictionary(dictionary) => {
                self.of_dictionary(dictionary, nulls.as_ref(), scratch, &mut numbers)?;
            }
            _ => {
                let array = vector.flatten()?;
                let is_valid = |row: &u32| nulls.as_ref().is_none_or(|n| n.is_valid(*row as usize));
                let rows: Vec<u32> = (0..array.len() as u32).filter(is_valid).collect();
                self.intern(&rows, |row| text(&array, row), scratch, &mut numbers)?;
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
            let found = known.0.get(code as usize).map_or(0, |known| known.load(Ordering::Relaxed));
            *number = found.wrapping_sub(1);
            if found == 0 && is_valid(row) {
                missing.push(row as u32);
            }
        }
        if !missing.is_empty() {
            let entry = |row: usize| text(entries, codes[row] as usize);
            self.intern(&missing, entry, scratch, numbers)?;
            for &row in &missing {
                let code = codes[row as usize] as usize;
                known.0[code].store(numbers[row as usize] + 1, Ordering::Relaxed);
            }
        }
        scratch.missing = missing;
        Ok(())
    }

    /// What is known of a dictionary's entries.
    fn known(&self, dictionary: &DictionaryValues, scratch: &mut TextScratch) -> Result<Arc<Known>> {
        if let Some((id, known)) = &scratch.dictionary
            && *id == dictionary.id()
        {
            return Ok(Arc::clone(known));
        }
        let entries = dictionary.values().len();
        let mut all = self.dictionaries.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match all.get(&dictionary.id()) {
            Some(known) => Arc::clone(known),
            None => {
                self.lock(0).memory.grow(entries as u64 * 4)?;
                let known = Arc::new(Known((0..entries).map(|_| AtomicU32::new(0)).collect()));
                all.insert(dictionary.id(), Arc::clone(&known));
                known
            }
        };
        scratch.dictionary = Some((dictionary.id(), Arc::clone(&known)));
        Ok(known)
    }

    fn lock(&self, shard: usize) -> std::sync::MutexGuard<'_, Shard> {
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the numbers of some rows. Shards are locked once each.
    fn intern<'a>(
        &self,
        rows: &[u32],
        value: impl Fn(usize) -> &'a [u8],
        scratch: &mut TextScratch,
        numbers: &mut [u32],
    ) -> Result<()> {
        let TextScratch { hashes, order, .. } = scratch;
        hashes.clear();
        hashes.extend(rows.iter().map(|&row| hash_bytes(value(row as usize))));
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
            for &at in places {
                let row = rows[at as usize] as usize;
                let place = shard.intern(hashes[at as usize], value(row))?;
                numbers[row] = place << SHARD_BITS | number as u32;
            }
        }
        Ok(())
    }

    /// No string will come any more.
    pub(super) fn seal(&self) {
        self.sealed.get_or_init(|| {
            let (mut views, mut buffers) = (Vec::new(), Vec::new());
            for number in 0..SHARDS {
                let mut shard = self.lock(number);
                let mut own = std::mem::take(&mut shard.views);
                let first = (buffers.len() as u128) << 64;
                own.iter_mut().filter(|view| length(**view) > INLINE).for_each(|view| *view += first);
                views.push(own);
                buffers.extend(std::mem::take(&mut shard.blocks).into_iter().map(Buffer::from_vec));
                shard.slots = Vec::new();
            }
            Sealed { views, buffers: buffers.into() }
        });
    }

    /// The strings of numbers, once sealed. O(numbers).
    ///
    /// # Errors
    /// `Internal` when a number is of another column.
    pub(super) fn strings(&self, numbers: &ArrayRef) -> Result<ArrayRef> {
        let missing = || EngineError::Internal("a group without its text".into());
        let sealed = self.sealed.get().ok_or_else(missing)?;
        let numbers = numbers.as_primitive_opt::<UInt32Type>().ok_or_else(missing)?;
        let view = |(row, &number): (usize, &u32)| {
            let shard = &sealed.views[number as usize % SHARDS];
            match shard.get((number >> SHARD_BITS) as usize) {
                Some(&view) => Ok(view),
                None if numbers.is_null(row) => Ok(0),
                None => Err(missing()),
            }
        };
        let views = numbers.values().iter().enumerate().map(view).collect::<Result<Vec<u128>>>()?;
        let (buffers, nulls) = (Arc::clone(&sealed.buffers), numbers.nulls().cloned());
        Ok(match self.ty {
            LogicalType::Blob => Arc::new(BinaryViewArray::try_new(views.into(), buffers, nulls)?),
            _ => Arc::new(StringViewArray::try_new(views.into(), buffers, nulls)?),
        })
    }
}

/// A view's length in bytes.
fn length(view: u128) -> usize {
    view as u32 as usize
}

impl Shard {
    /// Makes room for `more` strings at a load of at most one half.
    fn reserve(&mut self, more: usize) -> Result<()> {
        let wanted = (self.views.len() + more) * 2;
        if wanted > self.slots.len() {
            let size = wanted.next_power_of_two().max(64);
            self.memory.grow(((size - self.slots.len()) * 8 + size / 2 * 16) as u64)?;
            let mut slots = vec![0; size];
            for &slot in self.slots.iter().filter(|slot| **slot != 0) {
                let mut at = start((slot >> 32) as u32, size);
                while slots[at] != 0 {
                    at = (at + 1) & (size - 1);
                }
                slots[at] = slot;
            }
            self.slots = slots;
        }
        Ok(())
    }

    /// The place of a string, a new one if need be; there is room.
    fn intern(&mut self, hash: u32, value: &[u8]) -> Result<u32> {
        let mask = self.slots.len() - 1;
        let mut at = start(hash, self.slots.len());
        let own = make_view(value, 0, 0);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            if (slot >> 32) as u32 == hash {
                let place = slot as u32 - 1;
                if self.is(place, own, value) {
                    return Ok(place);
                }
            }
            at = (at + 1) & mask;
        }
        let place = self.views.len();
        if place + 1 >= MOST_STRINGS {
            return Err(EngineError::Unsupported("groups of over 2^32 texts".into()));
        }
        let view = self.keep(value)?;
        self.views.push(view);
        self.slots[at] = u64::from(hash) << 32 | (place as u64 + 1);
        Ok(place as u32)
    }

    /// Copies a long string into a block and gives its view.
    fn keep(&mut self, value: &[u8]) -> Result<u128> {
        if value.len() <= INLINE {
            return Ok(make_view(value, 0, 0));
        }
        let fits = |block: &Vec<u8>| block.capacity() - block.len() >= value.len();
        if !self.blocks.last().is_some_and(fits) {
            // Shards that hold little do not take a whole block.
            self.block_bytes = (self.block_bytes * 2).clamp(1 << 12, BLOCK_BYTES);
            let bytes = self.block_bytes.max(value.len());
            self.memory.grow(bytes as u64)?;
            self.blocks.push(Vec::with_capacity(bytes));
        }
        let number = self.blocks.len() as u32 - 1;
        let Some(block) = self.blocks.last_mut() else {
            return Err(EngineError::Internal("no block for a text".into()));
        };
        let offset = block.len() as u32;
        block.extend_from_slice(value);
        Ok(make_view(value, number, offset))
    }

    /// Whether a string is the one at a place; `view` is its view but for where it lies.
    fn is(&self, place: u32, view: u128, value: &[u8]) -> bool {
        let own = self.views[place as usize];
        if value.len() <= INLINE || own as u64 != view as u64 {
            return own == view;
        }
        let (block, offset) = ((own >> 64) as u32, (own >> 96) as usize);
        &self.blocks[block as usize][offset..offset + value.len()] == value
    }
}

/// Where a hash is looked for first; its lowest bits chose the shard.
fn start(hash: u32, slots: usize) -> usize {
    (hash >> SHARD_BITS) as usize & (slots - 1)
}
