//! The bytes-touched ledger: per scan and column, bytes touched against bytes stored, split by level.
//!
//! Invariant: it is charged only where bytes are handed out (the scans' accessors, `Vector::flatten`, the Parquet file
//! reader for what it asks of the file), and never derived from a plan.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arrow::{
    array::{Array, AsArray},
    datatypes::DataType,
};

/// From what a query took its answer, cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Block and row-group statistics, footers.
    Metadata,
    /// Index nodes.
    Index,
    /// Encoded data: dictionary codes and entries, narrow offsets, compressed pages.
    Encoded,
    /// Values in plain layout.
    Decoded,
}

/// What became of a block (of a table) or a row group (of a file) in a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockUse {
    /// Its statistics answered in place of its rows.
    Answered,
    /// Statistics showed that it holds no match.
    Skipped,
    /// Rows were read.
    Read,
}

/// What one scan touched.
#[derive(Debug)]
pub struct ScanLedger {
    columns: Vec<Counters>,
    blocks: [AtomicU64; 3],
    /// Pages of row groups that were read in part: left out, and read.
    pages: [AtomicU64; 2],
    /// Bytes of file footers and page indexes that this scan asked for; zero when they were cached.
    footer: AtomicU64,
}

#[derive(Debug, Default)]
struct Counters {
    name: String,
    stored: AtomicU64,
    touched: [AtomicU64; 4],
    /// Of the decoded bytes those that are stored so.
    plain: AtomicU64,
}

impl ScanLedger {
    /// A ledger for a relation's columns: name and bytes stored of each.
    pub fn new(columns: impl IntoIterator<Item = (String, u64)>) -> Arc<Self> {
        let columns = columns.into_iter().map(|(name, stored)| Counters {
            name,
            stored: stored.into(),
            ..Counters::default()
        });
        Arc::new(Self {
            columns: columns.collect(),
            blocks: Default::default(),
            pages: Default::default(),
            footer: AtomicU64::new(0),
        })
    }

    /// How many columns the relation has.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// A column's name.
    pub fn name(&self, column: usize) -> &str {
        &self.columns[column].name
    }

    /// Bytes stored of a column.
    pub fn stored(&self, column: usize) -> u64 {
        self.columns[column].stored.load(Ordering::Relaxed)
    }

    /// Bytes touched of a column at one level.
    pub fn touched(&self, column: usize, level: Level) -> u64 {
        self.columns[column].touched[level as usize].load(Ordering::Relaxed)
    }

    /// Charges a column.
    pub fn charge(&self, column: usize, level: Level, bytes: u64) {
        self.columns[column].touched[level as usize].fetch_add(bytes, Ordering::Relaxed);
    }

    /// Charges values that are stored in plain layout: decoded, but not made by decoding.
    pub fn charge_plain(&self, column: usize, bytes: u64) {
        self.charge(column, Level::Decoded, bytes);
        self.columns[column].plain.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes touched of what is stored of a column, at any level; what decoding made of them is not counted.
    pub fn read(&self, column: usize) -> u64 {
        let levels = [Level::Metadata, Level::Index, Level::Encoded].into_iter();
        let plain = self.columns[column].plain.load(Ordering::Relaxed);
        levels.map(|level| self.touched(column, level)).sum::<u64>() + plain
    }

    /// Bytes that decoding made of a column.
    pub fn made(&self, column: usize) -> u64 {
        let plain = self.columns[column].plain.load(Ordering::Relaxed);
        self.touched(column, Level::Decoded).saturating_sub(plain)
    }

    /// How many blocks were used in one way.
    pub fn blocks(&self, of: BlockUse) -> u64 {
        self.blocks[of as usize].load(Ordering::Relaxed)
    }

    /// Counts blocks.
    pub fn count_blocks(&self, of: BlockUse, blocks: usize) {
        self.blocks[of as usize].fetch_add(blocks as u64, Ordering::Relaxed);
    }

    /// Where a page index was of use: how many pages it let the scan leave out, and how many were read all the same.
    pub fn pages(&self) -> (u64, u64) {
        let [skipped, read] = [0, 1].map(|of: usize| self.pages[of].load(Ordering::Relaxed));
        (skipped, read)
    }

    /// Counts pages of a column chunk that a page index was used for.
    pub fn count_pages(&self, skipped: usize, read: usize) {
        self.pages[0].fetch_add(skipped as u64, Ordering::Relaxed);
        self.pages[1].fetch_add(read as u64, Ordering::Relaxed);
    }

    /// Bytes of footers asked for.
    pub fn footer_bytes(&self) -> u64 {
        self.footer.load(Ordering::Relaxed)
    }

    /// Charges a footer.
    pub fn charge_footer(&self, bytes: u64) {
        self.footer.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// A column's account in a ledger, carried by encoded vectors so that decoding them is charged where they came from.
#[derive(Debug, Clone)]
pub struct ColumnCharge {
    ledger: Arc<ScanLedger>,
    column: usize,
}

impl ColumnCharge {
    /// The account of `column`.
    pub fn new(ledger: &Arc<ScanLedger>, column: usize) -> Self {
        Self { ledger: Arc::clone(ledger), column }
    }

    /// Charges encoded bytes.
    pub fn encoded(&self, bytes: u64) {
        self.ledger.charge(self.column, Level::Encoded, bytes);
    }

    /// Charges decoded bytes.
    pub fn decoded(&self, bytes: u64) {
        self.ledger.charge(self.column, Level::Decoded, bytes);
    }

    /// Counts pages that a page index let the scan leave out, and those that were read.
    pub fn pages(&self, skipped: usize, read: usize) {
        self.ledger.count_pages(skipped, read);
    }
}

/// The bytes of an array's rows: validity, offsets and values of just these rows, children included; whole dictionary
/// entries only where a row's value is one.
pub fn array_bytes(array: &dyn Array) -> u64 {
    let rows = array.len() as u64;
    let validity = if array.nulls().is_some() { rows.div_ceil(8) } else { 0 };
    validity
        + match array.data_type() {
            DataType::Null => 0,
            DataType::Boolean => rows.div_ceil(8),
            DataType::Utf8View => rows * 16 + long_bytes(array.as_string_view().lengths()),
            DataType::BinaryView => rows * 16 + long_bytes(array.as_binary_view().lengths()),
            DataType::Utf8 => span(array.as_string::<i32>().value_offsets(), 4),
            DataType::LargeUtf8 => span(array.as_string::<i64>().value_offsets(), 8),
            DataType::Binary => span(array.as_binary::<i32>().value_offsets(), 4),
            DataType::LargeBinary => span(array.as_binary::<i64>().value_offsets(), 8),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let offsets = list.value_offsets();
                let (first, last) = (offsets[0] as usize, offsets[list.len()] as usize);
                rows * 4 + array_bytes(list.values().slice(first, last - first).as_ref())
            }
            DataType::Map(..) => {
                let map = array.as_map();
                let offsets = map.value_offsets();
                let (first, last) = (offsets[0] as usize, offsets[map.len()] as usize);
                rows * 4 + array_bytes(&map.entries().slice(first, last - first))
            }
            DataType::Struct(_) => {
                array.as_struct().columns().iter().map(|child| array_bytes(child.as_ref())).sum()
            }
            ty => match ty.primitive_width() {
                Some(width) => rows * width as u64,
                None => array.get_buffer_memory_size() as u64,
            },
        }
}

fn long_bytes(lengths: impl Iterator<Item = u32>) -> u64 {
    lengths.filter(|&length| length > 12).map(u64::from).sum()
}

fn span<T: Copy + TryInto<u64>>(offsets: &[T], width: u64) -> u64 {
    let at = |offset: Option<&T>| offset.and_then(|&o| o.try_into().ok()).unwrap_or(0);
    at(offsets.last()) - at(offsets.first()) + offsets.len() as u64 * width
}
