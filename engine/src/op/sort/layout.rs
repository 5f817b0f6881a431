//! Packing fields into integers: a level takes as much of the key, from a cursor on, as fits beside the row's number.
//!
//! Invariants: comparing two elements of a level as integers compares the part of the key that the level covers, then
//! the row numbers; so equal keys keep input order. Rows that a level leaves equal go on at `Level::after`, and when
//! that is `None` they are equal in the whole key.
//! Next: `order.rs`, which sorts elements.

use super::keys::{Field, FieldCodes, Fields};
use crate::kernel::sort_key::Bytes;

/// A packed key with its row's number in the lowest bits.
pub(super) trait Element: Copy + Ord + Default + Send + Sync {
    /// A number.
    fn of(value: u128) -> Self;
    /// The number.
    fn to_u128(self) -> u128;
    /// `(code ^ flip) - base + add`, shifted; the hot step of packing.
    fn field(code: u64, flip: u64, base: u64, add: u64, shift: u32) -> Self;
    /// Both.
    fn or(self, other: Self) -> Self;
    /// Shifted right by fewer bits than it has.
    fn shr(self, bits: u32) -> Self;
}

impl Element for u64 {
    fn of(value: u128) -> Self {
        value as u64
    }
    fn to_u128(self) -> u128 {
        self.into()
    }
    fn field(code: u64, flip: u64, base: u64, add: u64, shift: u32) -> Self {
        (code ^ flip).wrapping_sub(base).wrapping_add(add) << shift
    }
    fn or(self, other: Self) -> Self {
        self | other
    }
    fn shr(self, bits: u32) -> Self {
        self >> bits
    }
}

impl Element for u128 {
    fn of(value: u128) -> Self {
        value
    }
    fn to_u128(self) -> u128 {
        self
    }
    fn field(code: u64, flip: u64, base: u64, add: u64, shift: u32) -> Self {
        (Self::from((code ^ flip).wrapping_sub(base)) + Self::from(add)) << shift
    }
    fn or(self, other: Self) -> Self {
        self | other
    }
    fn shr(self, bits: u32) -> Self {
        self >> bits
    }
}

/// Where in the key a level starts: a field, and for strings how many bytes are done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    pub(super) field: usize,
    pub(super) offset: usize,
}

/// Rows to pack.
#[derive(Debug, Clone, Copy)]
pub(super) enum RowSet<'a> {
    /// Consecutive rows of one block.
    Range { start: u32, len: usize },
    /// Any rows.
    List(&'a [u32]),
}

#[derive(Debug)]
enum Part {
    Number { field: usize, shift: u32 },
    String { field: usize, shift: u32, chunk: Chunk },
}

/// So many bytes of a string from an offset on, then four bits that tell how many of them there were.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    offset: usize,
    width: usize,
}

const LENGTH_BITS: u32 = 4;
/// One value of `LENGTH_BITS` bits is for strings that go on.
const MOST_WIDTH: usize = 14;

impl Chunk {
    fn bits(self) -> u32 {
        if self.width == 0 { 0 } else { self.width as u32 * 8 + LENGTH_BITS }
    }

    fn pack(self, value: &[u8]) -> u128 {
        let rest = &value[self.offset.min(value.len())..];
        let mut bytes = [0; 16];
        let taken = rest.len().min(self.width);
        bytes[..taken].copy_from_slice(&rest[..taken]);
        let chunk = u128::from_be_bytes(bytes) >> (128 - self.width as u32 * 8);
        chunk << LENGTH_BITS | rest.len().min(self.width + 1) as u128
    }
}

/// What one packing covers of the key.
#[derive(Debug)]
pub(super) struct Level<'a> {
    fields: &'a Fields,
    parts: Vec<Part>,
    row_bits: u32,
    /// Bits of the key.
    pub(super) bits: u32,
    /// Where rows that the level leaves equal go on.
    next: Next,
}

#[derive(Debug)]
enum Next {
    /// Nowhere: the key ends.
    End,
    /// At a field.
    Field(usize),
    /// In the string that the level ends with, if it has more than `chunk` holds; else at the next field.
    String { field: usize, chunk: Chunk, flipped: bool },
}

impl<'a> Level<'a> {
    /// The level from `cursor` on, beside row numbers of `row_bits` bits, at most 32.
    pub(super) fn new(fields: &'a Fields, cursor: Cursor, row_bits: u32) -> Self {
        let mut room = 128 - row_bits;
        // Widths from the top; turned into shifts once the total is known.
        let mut parts: Vec<(Part, u32)> = Vec::new();
        let mut next = Next::End;
        for (index, field) in fields.fields.iter().enumerate().skip(cursor.field) {
            let (part, bits) = match &field.codes {
                FieldCodes::Numbers { min, max, .. } => {
                    let span = u128::from(max - min) + u128::from(field.has_nulls());
                    (Part::Number { field: index, shift: 0 }, 128 - span.leading_zeros())
                }
                FieldCodes::Bytes { shared, longest, .. } => {
                    let done = if index == cursor.field { cursor.offset } else { 0 };
                    let offset = done.max(*shared);
                    let null_bits = u32::from(field.has_nulls());
                    let fit = room.saturating_sub(LENGTH_BITS + null_bits) as usize / 8;
                    let width = longest.saturating_sub(offset).min(fit).min(MOST_WIDTH);
                    let chunk = Chunk { offset, width };
                    let open = offset + width < *longest;
                    if open && width == 0 {
                        next = Next::Field(index);
                        break;
                    }
                    if open {
                        let flipped = field.order.descending;
                        next = Next::String { field: index, chunk, flipped };
                    }
                    (Part::String { field: index, shift: 0, chunk }, chunk.bits() + null_bits)
                }
            };
            if bits > room {
                next = Next::Field(index);
                break;
            }
            room -= bits;
            if bits > 0 {
                parts.push((part, bits));
            }
            if matches!(next, Next::String { .. }) {
                break;
            }
        }
        let bits = 128 - row_bits - room;
        let mut left = bits;
        let place = |(part, width): (Part, u32)| {
            left -= width;
            match part {
                Part::Number { field, .. } => Part::Number { field, shift: left + row_bits },
                Part::String { field, chunk, .. } => {
                    Part::String { field, chunk, shift: left + row_bits }
                }
            }
        };
        let parts = parts.into_iter().map(place).collect();
        Self { fields, parts, row_bits, bits, next }
    }

    /// Whether rows that the level leaves equal are equal in the whole key.
    pub(super) fn is_exact(&self) -> bool {
        matches!(self.next, Next::End)
    }

    /// Where rows of the given packed key (without row number) go on; `None` when they are equal in the whole key.
    pub(super) fn after(&self, key: u128) -> Option<Cursor> {
        let field = match self.next {
            Next::End => return None,
            Next::Field(field) => field,
            Next::String { field, chunk, flipped } => {
                let mask = (1 << LENGTH_BITS) - 1;
                let length = if flipped { !key & mask } else { key & mask };
                if length as usize > chunk.width {
                    return Some(Cursor { field, offset: chunk.offset + chunk.width });
                }
                field + 1
            }
        };
        (field < self.fields.fields.len()).then_some(Cursor { field, offset: 0 })
    }

    /// The rows' packed keys.
    pub(super) fn pack<E: Element>(&self, rows: RowSet<'_>) -> Vec<E> {
        let mut out: Vec<E> = match rows {
            RowSet::Range { start, len } => {
                (0..len as u128).map(|i| E::of(u128::from(start) + i)).collect()
            }
            RowSet::List(rows) => rows.iter().map(|&row| E::of(row.into())).collect(),
        };
        for part in &self.parts {
            match *part {
                Part::Number { field, shift } => self.pack_numbers(field, shift, rows, &mut out),
                Part::String { field, shift, chunk } => {
                    self.pack_strings(field, shift, chunk, rows, &mut out);
                }
            }
        }
        out
    }

    fn pack_numbers<E: Element>(&self, field: usize, shift: u32, rows: RowSet<'_>, out: &mut [E]) {
        let field = &self.fields.fields[field];
        let FieldCodes::Numbers { blocks, min, max } = &field.codes else { return };
        let (flip, base) = if field.order.descending { (u64::MAX, !max) } else { (0, *min) };
        let add = u64::from(field.has_nulls() && field.order.nulls_first);
        let null = if field.order.nulls_first { 0 } else { u128::from(max - min) + 1 };
        let null = E::of(null << shift);
        let bits = self.fields.bits;
        let mask = (1 << bits) - 1;
        match rows {
            RowSet::Range { start, len } => {
                let (block, first) = ((start >> bits) as usize, (start & mask) as usize);
                let codes = &blocks[block][first..first + len];
                match field.nulls.get(block) {
                    Some(Some(nulls)) => {
                        for (i, (slot, &code)) in out.iter_mut().zip(codes).enumerate() {
                            let value = E::field(code, flip, base, add, shift);
                            let value = if nulls.is_valid(first + i) { value } else { null };
                            *slot = slot.or(value);
                        }
                    }
                    _ => {
                        for (slot, &code) in out.iter_mut().zip(codes) {
                            *slot = slot.or(E::field(code, flip, base, add, shift));
                        }
                    }
                }
            }
            RowSet::List(rows) => {
                for (slot, &row) in out.iter_mut().zip(rows) {
                    let (block, row) = ((row >> bits) as usize, (row & mask) as usize);
                    let value = match field.is_null(block, row) {
                        true => null,
                        false => E::field(blocks[block][row], flip, base, add, shift),
                    };
                    *slot = slot.or(value);
                }
            }
        }
    }

    fn pack_strings<E: Element>(
        &self,
        field: usize,
        shift: u32,
        chunk: Chunk,
        rows: RowSet<'_>,
        out: &mut [E],
    ) {
        let field = &self.fields.fields[field];
        let FieldCodes::Bytes { blocks, .. } = &field.codes else { return };
        let packer = StringPacker::new(field, chunk, shift);
        let bits = self.fields.bits;
        let mask = (1 << bits) - 1;
        match rows {
            RowSet::Range { start, .. } => {
                let (block, first) = ((start >> bits) as usize, (start & mask) as usize);
                for (row, slot) in (first..).zip(out) {
                    *slot = slot.or(E::of(packer.pack(field, &blocks[block], block, row)));
                }
            }
            RowSet::List(rows) => {
                for (slot, &row) in out.iter_mut().zip(rows) {
                    let (block, row) = ((row >> bits) as usize, (row & mask) as usize);
                    *slot = slot.or(E::of(packer.pack(field, &blocks[block], block, row)));
                }
            }
        }
    }

    /// The packed key of an element without its row's number.
    pub(super) fn key<E: Element>(&self, element: E) -> E {
        element.shr(self.row_bits)
    }

    /// The row of an element.
    pub(super) fn row<E: Element>(&self, element: E) -> u32 {
        (element.to_u128() & ((1 << self.row_bits) - 1)) as u32
    }
}

struct StringPacker {
    chunk: Chunk,
    shift: u32,
    flip: u128,
    null: u128,
    value: u128,
}

impl StringPacker {
    fn new(field: &Field, chunk: Chunk, shift: u32) -> Self {
        let ones = (1 << chunk.bits()) - 1;
        let flip = if field.order.descending { ones } else { 0 };
        let flag = u128::from(field.has_nulls()) << chunk.bits();
        let (null, value) = if field.order.nulls_first { (0, flag) } else { (flag, 0) };
        Self { chunk, shift, flip, null, value }
    }

    fn pack(&self, field: &Field, bytes: &Bytes, block: usize, row: usize) -> u128 {
        let packed = match (field.is_null(block, row), self.chunk.width) {
            (true, _) => self.flip | self.null,
            (false, 0) => self.value,
            (false, _) => (self.chunk.pack(bytes.get(row)) ^ self.flip) | self.value,
        };
        packed << self.shift
    }
}
