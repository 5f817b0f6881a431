//! One dictionary for a column of several segments, so that the codes of a value agree across them.
//!
//! Invariants: entries stand in the order in which the segments bring them, so an extension keeps all codes valid;
//! entries stay distinct in SQL; a dictionary that would grow beyond `MOST_ENTRIES` is left as it is. Values never
//! change: statistics stay what they are.
//! Next: `tail.rs`, which does this to segments that are appended.

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, UInt8Array, UInt16Array,
        UInt32Array,
    },
    compute,
    datatypes::{ArrowNativeType, DataType, UInt8Type, UInt16Type, UInt32Type},
    row::{RowConverter, SortField},
};
use hashbrown::HashTable;

use crate::{
    encoding::Encoding,
    error::Result,
    table::{
        encode::are_distinct, interner::code_width, segment::Segment, settle::settled_array,
        sketch::bytes as hash_bytes, tail::Part,
    },
    vector::DictionaryValues,
};

/// Most entries of a dictionary that several segments share.
const MOST_ENTRIES: usize = 1 << 16;

/// A dictionary for one column of several segments, and the codes in it of each segment's entries.
pub struct SharedDictionary {
    values: Arc<DictionaryValues>,
    /// Per segment: the new code of each old one; `None` where the segment stays as it is.
    translations: Vec<Option<Vec<u32>>>,
}

/// The union of the dictionaries that some segments of a table have for a column. `None` when there is nothing to share
/// or too much. O(entries).
///
/// # Errors
/// `Internal` when the dictionaries are of different types.
pub fn shared_dictionary(
    segments: &[Arc<Segment>],
    column: usize,
) -> Result<Option<SharedDictionary>> {
    let dictionaries = segments.iter().map(|segment| segment.columns()[column].dictionary());
    let dictionaries = dictionaries.collect::<Result<Vec<_>>>()?;
    let mut ids: Vec<u64> = dictionaries.iter().flatten().map(|values| values.id()).collect();
    ids.sort_unstable();
    ids.dedup();
    let Some(first) = dictionaries.iter().flatten().next() else { return Ok(None) };
    if ids.len() < 2 {
        return Ok(None);
    }
    let mut union = Union::new(first.values().data_type())?;
    let mut translations = vec![];
    for values in &dictionaries {
        translations.push(match values {
            None => None,
            Some(values) => {
                let Some(translation) = union.add(values.values())? else { return Ok(None) };
                Some(translation)
            }
        });
    }
    let values = union.finish()?;
    Ok(values.map(|values| SharedDictionary { values, translations }))
}

/// Segment `number` of those that the shared dictionaries (one slot per column) were made for, with codes into them.
/// Columns without one are shared with the segment. O(rows) of the columns that change.
///
/// # Errors
/// `Internal` when the segment is another one.
pub fn with_shared(
    segment: &Arc<Segment>,
    number: usize,
    shared: &[Option<SharedDictionary>],
) -> Result<Arc<Segment>> {
    let mut columns = segment.columns().to_vec();
    let mut changed = false;
    for (column, shared) in columns.iter_mut().zip(shared) {
        let Some(shared) = shared else { continue };
        if let Some(Some(translation)) = shared.translations.get(number)
            && let Some(encoding) = translated(column.encoding()?, translation, &shared.values)?
        {
            *column = column.with_encoding(encoding);
            changed = true;
        }
    }
    if !changed {
        return Ok(Arc::clone(segment));
    }
    Ok(Arc::new(Segment::of(columns)?))
}

/// Lets the last of a table's parts use the dictionaries of those before it, which are extended where need be.
pub(crate) fn adopt(parts: &mut [Part]) -> Result<()> {
    let Some((last, before)) = parts.split_last_mut() else { return Ok(()) };
    for column in 0..last.segment.columns().len() {
        let Some(mine) = last.segment.columns()[column].dictionary()? else { continue };
        let theirs = |part: &Part| {
            part.segment.columns()[column].dictionary().map(|d| d.cloned()).transpose()
        };
        let Some(table) = before.iter().rev().find_map(theirs).transpose()? else { continue };
        if table.id() == mine.id() || table.values().len() > MOST_ENTRIES {
            continue;
        }
        let mut union = Union::new(table.values().data_type())?;
        let Some(_) = union.add(table.values())? else { continue };
        let Some(translation) = union.add(mine.values())? else { continue };
        let extended = match union.len() == table.values().len() {
            true => Arc::clone(&table),
            false => match union.finish()? {
                None => continue,
                Some(extended) => extended,
            },
        };
        let encoding = last.segment.columns()[column].encoding()?;
        if let Some(encoding) = translated(encoding, &translation, &extended)? {
            replace(last, column, encoding)?;
        }
        if extended.id() != table.id() {
            extend(before, column, &table, &extended)?;
        }
    }
    Ok(())
}

/// Replaces a dictionary by its extension in all parts that use it.
fn extend(
    parts: &mut [Part],
    column: usize,
    old: &Arc<DictionaryValues>,
    new: &Arc<DictionaryValues>,
) -> Result<()> {
    for part in parts {
        if part.segment.columns()[column].dictionary_id() == Some(old.id()) {
            let mut columns = part.segment.columns().to_vec();
            columns[column] = columns[column].with_dictionary(new)?;
            part.segment = Arc::new(part.segment.with_extended(columns)?);
        }
    }
    Ok(())
}

fn replace(part: &mut Part, column: usize, encoding: Encoding) -> Result<()> {
    let mut columns = part.segment.columns().to_vec();
    columns[column] = columns[column].with_encoding(encoding);
    part.segment = Arc::new(Segment::of(columns)?);
    Ok(())
}

/// The codes of a column in another dictionary.
fn translated(
    encoding: &Encoding,
    translation: &[u32],
    values: &Arc<DictionaryValues>,
) -> Result<Option<Encoding>> {
    let Encoding::Dictionary { codes, .. } = encoding else { return Ok(None) };
    let entries = values.values().len();
    let same = (0..).zip(translation).all(|(old, &new): (u32, _)| old == new);
    let codes = match same {
        true => Arc::clone(codes),
        false => settled_array(translate(codes, translation, code_width(entries)))?,
    };
    Ok(Some(Encoding::Dictionary { codes, values: Arc::clone(values) }))
}

fn translate(codes: &ArrayRef, translation: &[u32], width: usize) -> ArrayRef {
    let new = match codes.data_type() {
        DataType::UInt8 => look_up(codes.as_primitive::<UInt8Type>(), translation),
        DataType::UInt16 => look_up(codes.as_primitive::<UInt16Type>(), translation),
        _ => look_up(codes.as_primitive::<UInt32Type>(), translation),
    };
    let nulls = codes.nulls().cloned();
    #[expect(clippy::cast_possible_truncation, reason = "the width holds every code")]
    match width {
        1 => Arc::new(UInt8Array::new(new.map(|code| code as u8).collect(), nulls)),
        2 => Arc::new(UInt16Array::new(new.map(|code| code as u16).collect(), nulls)),
        _ => Arc::new(UInt32Array::new(new.collect(), nulls)),
    }
}

fn look_up<'a, T: ArrowPrimitiveType>(
    codes: &'a PrimitiveArray<T>,
    translation: &'a [u32],
) -> Box<dyn Iterator<Item = u32> + 'a> {
    let new = |code: &T::Native| translation.get(code.as_usize()).copied().unwrap_or(0);
    Box::new(codes.values().iter().map(new))
}

/// Distinct entries of several dictionaries, in order of arrival.
struct Union {
    converter: RowConverter,
    /// Hash and code of each entry.
    table: HashTable<(u64, u32)>,
    /// The entries in a form that equals bytewise exactly when the bits do.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// The dictionaries.
    sources: Vec<ArrayRef>,
    /// Dictionary and entry of each code.
    picks: Vec<(usize, usize)>,
}

impl Union {
    fn new(ty: &DataType) -> Result<Self> {
        Ok(Self {
            converter: RowConverter::new(vec![SortField::new(ty.clone())])?,
            table: HashTable::new(),
            bytes: vec![],
            ends: vec![],
            sources: vec![],
            picks: vec![],
        })
    }

    fn len(&self) -> usize {
        self.picks.len()
    }

    /// The codes of a dictionary's entries; `None` when there are too many.
    fn add(&mut self, values: &ArrayRef) -> Result<Option<Vec<u32>>> {
        if values.len() > MOST_ENTRIES {
            return Ok(None);
        }
        let rows = self.converter.convert_columns(&[Arc::clone(values)])?;
        let mut codes = Vec::with_capacity(values.len());
        for (entry, row) in rows.iter().enumerate() {
            let value = row.data();
            let hash = hash_bytes(value);
            let (bytes, ends) = (&self.bytes, &self.ends);
            let known = |code: u32| {
                let code = code as usize;
                let start = if code == 0 { 0 } else { ends[code - 1] };
                &bytes[start..ends[code]]
            };
            let same = |&(other, code): &(u64, u32)| other == hash && known(code) == value;
            if let Some(&(_, code)) = self.table.find(hash, same) {
                codes.push(code);
                continue;
            }
            #[expect(clippy::cast_possible_truncation, reason = "at most `MOST_ENTRIES`")]
            let code = self.picks.len() as u32;
            self.table.insert_unique(hash, (hash, code), |&(hash, _)| hash);
            self.bytes.extend_from_slice(value);
            self.ends.push(self.bytes.len());
            self.picks.push((self.sources.len(), entry));
            codes.push(code);
        }
        self.sources.push(Arc::clone(values));
        Ok((self.picks.len() <= MOST_ENTRIES).then_some(codes))
    }

    /// The dictionary; `None` when SQL would take two entries for the same value.
    fn finish(self) -> Result<Option<Arc<DictionaryValues>>> {
        let sources: Vec<&dyn Array> = self.sources.iter().map(AsRef::as_ref).collect();
        let values = compute::interleave(&sources, &self.picks)?;
        // Texts are copied out of the dictionaries, which go.
        let values: ArrayRef = match values.data_type() {
            DataType::Utf8View => Arc::new(values.as_string_view().gc()),
            DataType::BinaryView => Arc::new(values.as_binary_view().gc()),
            _ => values,
        };
        Ok(are_distinct(&values).then(|| Arc::new(DictionaryValues::new(values))))
    }
}
