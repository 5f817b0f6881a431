//! The bytes of one root column in one row group: whole chunks by one `pread` each, or only the pages that a selection
//! needs.
//!
//! Invariants: what is asked of the file is charged as Encoded, no more and no less. Every page header is checked before
//! the decoder sees it.
//! Next: `index.rs`, `thrift.rs`.

use std::{ops::Range, sync::Arc};

use arrow::datatypes::DataType;
use parquet::{
    arrow::arrow_reader::{RowGroups, RowSelection},
    column::page::{PageIterator, PageReader},
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData},
        page_index::offset_index::PageLocation,
        reader::SerializedPageReader,
    },
};

use super::{
    footer::{Footer, Place, chunk_range, dictionary_offset},
    source::{ChunkBytes, RangeFile},
    thrift::{ChunkFacts, PageInfo, walk_pages, walk_some_pages},
};
use crate::{error::Result, ledger::ColumnCharge};

/// Where a root column's chunks are found.
#[derive(Clone, Copy)]
pub(crate) struct Chunk<'a> {
    /// The opened file.
    pub file: &'a RangeFile,
    /// Its footer.
    pub footer: &'a Footer,
    /// The row group.
    pub group: usize,
    /// The root column, as an ordinal of the file.
    pub column: usize,
    /// Where the pages of a flat column stand, if it pays to read some of them only.
    pub pages: Option<&'a [PageLocation]>,
}

/// The fetched chunks of one root column, in the form that the decoder wants.
pub(crate) struct FetchedGroup<'a> {
    metadata: &'a ParquetMetaData,
    group: usize,
    first: usize,
    leaves: Vec<FetchedLeaf>,
}

struct FetchedLeaf {
    bytes: Arc<ChunkBytes>,
    /// The headers of the pages that were read.
    headers: Vec<PageInfo>,
    /// Where all pages stand, if only some were read.
    locations: Option<Vec<PageLocation>>,
}

impl<'a> FetchedGroup<'a> {
    /// Reads what `selection` needs of a root column.
    ///
    /// # Errors
    /// `Corrupt` when the chunk or a page header is damaged, `Io` when reading fails.
    pub(crate) fn fetch(
        chunk: &Chunk<'a>,
        place: &Place,
        charge: &ColumnCharge,
        selection: Option<&RowSelection>,
    ) -> Result<Self> {
        let metadata = chunk.footer.metadata.as_ref();
        let leaves = chunk.footer.schema.columns[chunk.column].leaves.clone();
        let fetch = |leaf: usize| {
            let source =
                LeafSource::new(chunk, metadata.row_group(chunk.group).column(leaf), place)?;
            match chunk.pages.zip(selection) {
                Some((locations, selection)) => source.some_pages(locations, selection, charge),
                None => source.whole(charge),
            }
        };
        let first = leaves.start;
        let leaves = leaves.map(fetch).collect::<Result<Vec<_>>>()?;
        Ok(Self { metadata, group: chunk.group, first, leaves })
    }

    /// The dictionary type to ask for if all data pages hold codes: the narrowest codes that can count the entries.
    pub(crate) fn dictionary_type(&self, values: &DataType) -> Option<DataType> {
        let leaf = self.leaves.first()?;
        let (first, rest) = leaf.headers.split_first()?;
        if !first.is_dictionary() || !rest.iter().all(|page| page.has_codes() || !page.is_data()) {
            return None;
        }
        let codes = match first.values {
            0..=0xff => DataType::UInt8,
            0x100..=0xffff => DataType::UInt16,
            _ => DataType::UInt32,
        };
        Some(DataType::Dictionary(Box::new(codes), Box::new(values.clone())))
    }
}

/// One leaf's chunk in the file.
struct LeafSource<'a> {
    file: &'a RangeFile,
    place: &'a Place,
    range: Range<u64>,
    facts: ChunkFacts,
    rows: u64,
}

impl<'a> LeafSource<'a> {
    fn new(chunk: &Chunk<'a>, leaf: &ColumnChunkMetaData, place: &'a Place) -> Result<Self> {
        let range =
            chunk_range(leaf).ok_or_else(|| place.corrupt("its place lies outside of the file"))?;
        let facts = ChunkFacts {
            compression: leaf.compression(),
            physical: leaf.column_type(),
            type_length: leaf.column_descr().type_length(),
            values: leaf.num_values(),
        };
        let rows = chunk.footer.metadata.row_group(chunk.group).num_rows();
        let rows = u64::try_from(rows).unwrap_or(0);
        Ok(Self { file: chunk.file, place, range, facts, rows })
    }

    fn read(&self, range: &Range<u64>, charge: &ColumnCharge) -> Result<bytes::Bytes> {
        let length = range.end - range.start;
        let bytes = self.file.read(range.start, length).map_err(|e| self.place.refine(e))?;
        charge.encoded(length);
        Ok(bytes)
    }

    fn whole(&self, charge: &ColumnCharge) -> Result<FetchedLeaf> {
        let bytes = self.read(&self.range, charge)?;
        let headers = walk_pages(&bytes, &self.facts).map_err(|what| self.place.corrupt(what))?;
        let bytes = Arc::new(ChunkBytes::new(vec![(self.range.start, bytes)]));
        Ok(FetchedLeaf { bytes, headers, locations: None })
    }

    /// The dictionary and the pages that a selection needs; neighbours are read together.
    fn some_pages(
        &self,
        locations: &[PageLocation],
        selection: &RowSelection,
        charge: &ColumnCharge,
    ) -> Result<FetchedLeaf> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let first = locations.first().map_or(self.range.end, |page| page.offset.cast_unsigned());
        let dictionary = (first > self.range.start).then_some(self.range.start..first);
        let needed = selection.scan_ranges(locations);
        charge.pages(locations.len().saturating_sub(needed.len()), needed.len());
        for page in dictionary.into_iter().chain(needed) {
            match ranges.last_mut() {
                Some(last) if last.end == page.start => last.end = page.end,
                _ => ranges.push(page),
            }
        }
        let mut parts = Vec::with_capacity(ranges.len());
        let mut headers = Vec::new();
        for range in ranges {
            let bytes = self.read(&range, charge)?;
            let found =
                walk_some_pages(&bytes, &self.facts).map_err(|what| self.place.corrupt(what))?;
            self.check_rows(locations, &range, &found)?;
            headers.extend(found);
            parts.push((range.start, bytes));
        }
        let bytes = Arc::new(ChunkBytes::new(parts));
        Ok(FetchedLeaf { bytes, headers, locations: Some(locations.to_vec()) })
    }

    /// Compares the pages of a range with what the page index says of them: a flat page has a value per row.
    fn check_rows(
        &self,
        locations: &[PageLocation],
        range: &Range<u64>,
        headers: &[PageInfo],
    ) -> Result<()> {
        let start = |page: &PageLocation| page.first_row_index.cast_unsigned();
        let from = locations.partition_point(|page| page.offset.cast_unsigned() < range.start);
        let mut expected = (from..locations.len()).map(|page| {
            let end = locations.get(page + 1).map_or(self.rows, start);
            end - start(&locations[page])
        });
        for header in headers.iter().filter(|header| header.is_data()) {
            if expected.next() != u64::try_from(header.values).ok() {
                return Err(self.place.corrupt("its pages are not those of its page index"));
            }
        }
        Ok(())
    }
}

impl RowGroups for FetchedGroup<'_> {
    fn num_rows(&self) -> usize {
        usize::try_from(self.metadata.row_group(self.group).num_rows()).unwrap_or(0)
    }

    fn column_chunks(&self, leaf: usize) -> Result<Box<dyn PageIterator>, ParquetError> {
        let fetched = leaf.checked_sub(self.first).and_then(|index| self.leaves.get(index));
        let fetched =
            fetched.ok_or_else(|| ParquetError::General(format!("column {leaf} was not read")))?;
        let chunk = sound_chunk(self.metadata.row_group(self.group).column(leaf))?;
        let bytes = Arc::clone(&fetched.bytes);
        let locations = fetched.locations.clone();
        let reader = SerializedPageReader::new(bytes, &chunk, self.num_rows(), locations)?;
        Ok(Box::new(OneChunk(Some(Box::new(reader)))))
    }

    fn row_groups(&self) -> Box<dyn Iterator<Item = &RowGroupMetaData> + '_> {
        Box::new(std::iter::once(self.metadata.row_group(self.group)))
    }

    fn metadata(&self) -> &ParquetMetaData {
        self.metadata
    }
}

/// A chunk's metadata with an impossible dictionary offset taken out.
fn sound_chunk(chunk: &ColumnChunkMetaData) -> Result<ColumnChunkMetaData, ParquetError> {
    let chunk = chunk.clone();
    match (chunk.dictionary_page_offset(), dictionary_offset(&chunk)) {
        (Some(_), None) => chunk.into_builder().set_dictionary_page_offset(None).build(),
        _ => Ok(chunk),
    }
}

/// The pages of a single chunk.
struct OneChunk(Option<Box<dyn PageReader>>);

impl Iterator for OneChunk {
    type Item = Result<Box<dyn PageReader>, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageIterator for OneChunk {}
