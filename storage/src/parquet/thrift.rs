//! A walk over Thrift compact structures: file footers and page headers, bounds first.
//!
//! Invariant: everything that the Parquet decoder will size a buffer by (list lengths, byte strings, page sizes, value
//! counts) has been compared with the bytes that are really there before the decoder sees it.
//! Next: `footer.rs`, `column.rs`.

use parquet::basic::{Compression, Type};

/// What is wrong, in words.
pub(crate) type Checked<T> = Result<T, String>;

/// Structures nest less deeply than this in any sound file.
const MAX_DEPTH: usize = 64;

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Walker<'_> {
    fn byte(&mut self) -> Checked<u8> {
        let byte = self.bytes.get(self.at).copied().ok_or("it ends too early")?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Checked<u64> {
        let mut value = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            if shift < 64 {
                value |= u64::from(byte & 0x7f) << shift;
            }
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number is too long".into())
    }

    fn int(&mut self) -> Checked<i64> {
        let raw = self.varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    fn advance(&mut self, count: u64) -> Checked<()> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(count).ok().filter(|&count| count <= left) {
            Some(count) => self.at += count,
            None => return Err(format!("{count} bytes are claimed where {left} are left")),
        }
        Ok(())
    }

    /// Walks a structure. `field` may read the value of a field and say so by `true`; other fields are passed over.
    fn fields(
        &mut self,
        depth: usize,
        field: &mut dyn FnMut(&mut Self, i64, u8) -> Checked<bool>,
    ) -> Checked<()> {
        if depth > MAX_DEPTH {
            return Err("structures are nested too deeply".into());
        }
        let mut id = 0;
        loop {
            let head = self.byte()?;
            if head & 0x0f == 0 {
                return Ok(());
            }
            id = match i64::from(head >> 4) {
                0 => self.int()?,
                delta => id + delta,
            };
            if !field(self, id, head & 0x0f)? {
                self.skip(head & 0x0f, depth)?;
            }
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Checked<()> {
        match kind {
            1 | 2 => Ok(()),
            3 => self.advance(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.advance(8),
            8 => {
                let length = self.varint()?;
                self.advance(length)
            }
            9 | 10 => {
                let (kind, size) = self.list()?;
                self.skip_many(&[kind], size, depth)
            }
            11 => {
                let size = self.varint()?;
                if size == 0 {
                    return Ok(());
                }
                let kinds = self.byte()?;
                self.skip_many(&[kinds >> 4, kinds & 0x0f], size, depth)
            }
            12 => self.fields(depth + 1, &mut |_, _, _| Ok(false)),
            other => Err(format!("there is no field type {other}")),
        }
    }

    fn list(&mut self) -> Checked<(u8, u64)> {
        let head = self.byte()?;
        let size = match u64::from(head >> 4) {
            15 => self.varint()?,
            size => size,
        };
        Ok((head & 0x0f, size))
    }

    fn skip_many(&mut self, kinds: &[u8], size: u64, depth: usize) -> Checked<()> {
        let left = (self.bytes.len() - self.at) as u64;
        if size > left {
            return Err(format!("a list of {size} entries is claimed where {left} bytes are left"));
        }
        for _ in 0..size {
            for &kind in kinds {
                match kind {
                    // Booleans in lists take a byte each.
                    1 | 2 => self.advance(1)?,
                    // A nested list is a level of its own; deeper ones are not part of the format.
                    9..=11 if depth >= MAX_DEPTH => {
                        return Err("lists are nested too deeply".into());
                    }
                    9..=11 => self.skip(kind, depth + 1)?,
                    kind => self.skip(kind, depth)?,
                }
            }
        }
        Ok(())
    }
}

/// Checks that a footer's lengths lie within it.
pub(crate) fn check_footer(bytes: &[u8]) -> Checked<()> {
    Walker { bytes, at: 0 }.fields(0, &mut |_, _, _| Ok(false))
}

/// What a page's header says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PageInfo {
    kind: i64,
    /// Values, NULLs included; entries of a dictionary.
    pub values: i64,
    encoding: i64,
    compressed: i64,
    uncompressed: i64,
    crc: Option<i64>,
}

const DATA_PAGE: i64 = 0;
const DICTIONARY_PAGE: i64 = 2;
const DATA_PAGE_V2: i64 = 3;
const PLAIN_DICTIONARY: i64 = 2;
const RLE_DICTIONARY: i64 = 8;

impl PageInfo {
    /// Whether the page is the chunk's dictionary.
    pub(crate) fn is_dictionary(&self) -> bool {
        self.kind == DICTIONARY_PAGE
    }

    /// Whether the page holds rows.
    pub(crate) fn is_data(&self) -> bool {
        matches!(self.kind, DATA_PAGE | DATA_PAGE_V2)
    }

    /// Whether the page holds codes into the chunk's dictionary.
    pub(crate) fn has_codes(&self) -> bool {
        self.is_data() && matches!(self.encoding, PLAIN_DICTIONARY | RLE_DICTIONARY)
    }
}

fn page_header(walker: &mut Walker<'_>) -> Checked<PageInfo> {
    let mut page = PageInfo { kind: -1, values: -1, compressed: -1, ..PageInfo::default() };
    walker.fields(0, &mut |walker, id, kind| {
        match (id, kind) {
            (1, 4..=6) => page.kind = walker.int()?,
            (2, 4..=6) => page.uncompressed = walker.int()?,
            (3, 4..=6) => page.compressed = walker.int()?,
            (4, 4..=6) => page.crc = Some(walker.int()?),
            (5 | 7 | 8, 12) => {
                let encoding = if id == 8 { 4 } else { 2 };
                walker.fields(1, &mut |walker, field, kind| {
                    match (field, kind) {
                        (1, 4..=6) => page.values = walker.int()?,
                        (at, 4..=6) if at == encoding => page.encoding = walker.int()?,
                        _ => return Ok(false),
                    }
                    Ok(true)
                })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(page)
}

/// What is known of a column chunk from the footer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChunkFacts {
    /// The codec of its pages.
    pub compression: Compression,
    /// The type of its values.
    pub physical: Type,
    /// The width of fixed-length byte arrays.
    pub type_length: i32,
    /// Values, NULLs included.
    pub values: i64,
}

/// The headers of the pages of a chunk, each checked against what is there.
///
/// # Errors
/// What is wrong, when a header is damaged, claims more than the bytes can hold, or the pages do not add up.
pub(crate) fn walk_pages(bytes: &[u8], facts: &ChunkFacts) -> Checked<Vec<PageInfo>> {
    let mut walker = Walker { bytes, at: 0 };
    let mut pages = Vec::new();
    let mut values = 0_i64;
    while values < facts.values {
        let index = pages.len();
        let page =
            check_page(&mut walker, facts).map_err(|what| format!("page {index}: {what}"))?;
        if page.is_dictionary() && index > 0 {
            return Err(format!("page {index} is a dictionary, which must come first"));
        }
        if page.is_data() {
            values += page.values;
        }
        pages.push(page);
    }
    if values > facts.values {
        return Err(format!("its pages hold {values} values where {} are promised", facts.values));
    }
    Ok(pages)
}

fn check_page(walker: &mut Walker<'_>, facts: &ChunkFacts) -> Checked<PageInfo> {
    let page = page_header(walker)?;
    let body = walker.at;
    let length = u64::try_from(page.compressed).map_err(|_| "its size is missing")?;
    walker.advance(length)?;
    let body = &walker.bytes[body..walker.at];
    let limit = expansion(facts.compression).saturating_mul(page.compressed).saturating_add(1024);
    if page.uncompressed < 0 || page.uncompressed > limit {
        return Err(format!(
            "{} bytes are claimed to unpack to {}",
            page.compressed, page.uncompressed
        ));
    }
    if page.values < 0 && (page.is_data() || page.is_dictionary()) {
        return Err("its number of values is missing".into());
    }
    if page.is_dictionary() {
        let width = plain_width(facts);
        if page.values.saturating_mul(width) > page.uncompressed {
            let (values, bytes) = (page.values, page.uncompressed);
            return Err(format!("a dictionary of {values} entries is claimed in {bytes} bytes"));
        }
    }
    if let Some(expected) = page.crc
        && !same_checksum(expected, crc32fast::hash(body))
    {
        return Err("its checksum is wrong".into());
    }
    Ok(page)
}

fn same_checksum(expected: i64, found: u32) -> bool {
    u32::try_from(expected & 0xffff_ffff) == Ok(found)
}

/// How many bytes at most a byte of a codec's output can stand for.
fn expansion(codec: Compression) -> i64 {
    match codec {
        Compression::UNCOMPRESSED => 1,
        Compression::SNAPPY => 64,
        Compression::LZ4 | Compression::LZ4_RAW => 256,
        Compression::GZIP(_) => 1100,
        _ => 1 << 17,
    }
}

/// The least bytes of a value in a dictionary page.
fn plain_width(facts: &ChunkFacts) -> i64 {
    match facts.physical {
        Type::BOOLEAN => 1,
        Type::INT32 | Type::FLOAT | Type::BYTE_ARRAY => 4,
        Type::INT64 | Type::DOUBLE => 8,
        Type::INT96 => 12,
        Type::FIXED_LEN_BYTE_ARRAY => i64::from(facts.type_length.max(1)),
    }
}
