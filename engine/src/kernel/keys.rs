//! Packed keys: words, or byte strings one after another.
//!
//! Invariant: keys are addressed by position and hold no pointer. Next: `key.rs`, which packs and unpacks them.

use super::hash::{combine, hash_bytes, hash_u64};

/// What packed keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyWidth {
    /// 64-bit words.
    Narrow,
    /// 128-bit words.
    Wide,
    /// Byte strings.
    Bytes,
}

/// Packed keys, one per row.
#[derive(Debug, Clone)]
pub enum Keys {
    /// `KeyWidth::Narrow`.
    Narrow(Vec<u64>),
    /// `KeyWidth::Wide`.
    Wide(Vec<u128>),
    /// `KeyWidth::Bytes`.
    Bytes(ByteKeys),
}

/// Byte strings one after another. Rows are addressed by position.
#[derive(Debug, Clone)]
pub struct ByteKeys {
    offsets: Vec<u64>,
    bytes: Vec<u8>,
}

impl Default for ByteKeys {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }
}

impl ByteKeys {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them.
    #[inline]
    pub fn get(&self, row: usize) -> &[u8] {
        &self.bytes[self.offsets[row] as usize..self.offsets[row + 1] as usize]
    }

    /// Adds one.
    pub fn push(&mut self, key: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.offsets.push(self.bytes.len() as u64);
    }

    /// Where the next key is being written; `end_key` completes it.
    pub(super) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Completes the key that was written to `bytes_mut`.
    pub(super) fn end_key(&mut self) {
        self.offsets.push(self.bytes.len() as u64);
    }

    /// Forgets all, keeping the memory.
    pub fn clear(&mut self) {
        self.offsets.truncate(1);
        self.bytes.clear();
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> u64 {
        (self.offsets.capacity() * 8 + self.bytes.capacity()) as u64
    }
}

impl Keys {
    /// No key.
    pub fn new(width: KeyWidth) -> Self {
        match width {
            KeyWidth::Narrow => Self::Narrow(Vec::new()),
            KeyWidth::Wide => Self::Wide(Vec::new()),
            KeyWidth::Bytes => Self::Bytes(ByteKeys::default()),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Narrow(keys) => keys.len(),
            Self::Wide(keys) => keys.len(),
            Self::Bytes(keys) => keys.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory held.
    pub fn memory(&self) -> u64 {
        match self {
            Self::Narrow(keys) => keys.capacity() as u64 * 8,
            Self::Wide(keys) => keys.capacity() as u64 * 16,
            Self::Bytes(keys) => keys.memory(),
        }
    }

    /// The keys at the given positions, in their order.
    pub fn gather(&self, rows: &[u32]) -> Self {
        match self {
            Self::Narrow(keys) => {
                Self::Narrow(rows.iter().map(|&row| keys[row as usize]).collect())
            }
            Self::Wide(keys) => Self::Wide(rows.iter().map(|&row| keys[row as usize]).collect()),
            Self::Bytes(keys) => {
                let mut gathered = ByteKeys::default();
                rows.iter().for_each(|&row| gathered.push(keys.get(row as usize)));
                Self::Bytes(gathered)
            }
        }
    }

    /// The hashes of the keys, one per row, replacing what `out` held. Equal keys hash equal; a different function from
    /// `hash::hash_columns`, as good for tables, and cheaper where keys are words.
    pub fn hashes(&self, out: &mut Vec<u64>) {
        out.clear();
        match self {
            Self::Narrow(keys) => out.extend(keys.iter().map(|&key| hash_u64(key))),
            Self::Wide(keys) => out.extend(
                keys.iter().map(|&key| combine(hash_u64(key as u64), hash_u64((key >> 64) as u64))),
            ),
            Self::Bytes(keys) => {
                let hash = |row| hash_u64(hash_bytes(keys.get(row)).into());
                out.extend((0..keys.len()).map(hash));
            }
        }
    }
}
