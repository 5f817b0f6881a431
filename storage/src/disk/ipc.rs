//! Writes buffers as an Arrow IPC file that any Arrow reader opens, and says where each buffer came to lie.
//!
//! Invariants: every buffer begins at a multiple of 64 bytes, so that it can be used where it is mapped; buffers are
//! written from where they are, without a copy; a finished file is on the disk, not in its cache.
//! Next: `save.rs`.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::Path,
};

use arrow::{
    buffer::Buffer,
    datatypes::Schema,
    ipc::{
        Block, DictionaryBatchBuilder, FieldNode, FooterBuilder, MessageBuilder, MessageHeader,
        MetadataVersion, RecordBatchBuilder,
        convert::IpcSchemaEncoder,
        writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions},
    },
};
use flatbuffers::FlatBufferBuilder;

use crate::disk::{layout::Span, physical::Parts};

const MAGIC: &[u8] = b"ARROW1";
const CONTINUATION: [u8; 4] = [0xff; 4];
/// Buffers and bodies begin at multiples of this.
const ALIGNMENT: u64 = 64;
const ZEROS: [u8; ALIGNMENT as usize] = [0; ALIGNMENT as usize];

/// The arrays of a record batch or of a dictionary.
#[derive(Debug, Default)]
pub(crate) struct Body {
    nodes: Vec<FieldNode>,
    buffers: Vec<Buffer>,
    variadic: Vec<i64>,
}

#[expect(clippy::cast_possible_wrap, reason = "lengths in memory are far below 2^63")]
impl Body {
    /// Appends a node without buffers: the parent of run ends and values.
    pub(crate) fn push_node(&mut self, rows: u64) {
        self.nodes.push(FieldNode::new(rows as i64, 0));
    }

    /// Appends an array.
    pub(crate) fn push(&mut self, parts: &Parts) {
        let nodes = parts.nodes.iter();
        self.nodes.extend(nodes.map(|&(len, nulls)| FieldNode::new(len as i64, nulls as i64)));
        self.buffers.extend_from_slice(&parts.buffers);
        self.variadic.extend(parts.variadic.iter().map(|&count| count as i64));
    }
}

/// An Arrow IPC file being written.
pub(crate) struct IpcFile<'a> {
    out: BufWriter<File>,
    at: u64,
    schema: &'a Schema,
    dictionaries: Vec<Block>,
    batches: Vec<Block>,
}

#[expect(clippy::cast_possible_wrap, reason = "lengths of files are far below 2^63")]
impl<'a> IpcFile<'a> {
    /// Begins a new file. One of the name is unlinked first: who mapped it keeps what it is.
    pub(crate) fn create(path: &Path, schema: &'a Schema) -> io::Result<Self> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let out = BufWriter::with_capacity(1 << 18, File::create_new(path)?);
        let mut file = Self { out, at: 0, schema, dictionaries: vec![], batches: vec![] };
        file.put(MAGIC)?;
        file.put(&ZEROS[..8 - MAGIC.len()])?;
        let options = IpcWriteOptions::default();
        let header = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
            schema,
            &mut DictionaryTracker::new(true),
            &options,
        );
        file.message(&header.ipc_message, &[])?;
        Ok(file)
    }

    /// Writes the entries of the `id`th dictionary of the schema; gives the places of its buffers.
    pub(crate) fn dictionary(
        &mut self,
        id: usize,
        rows: u64,
        body: &Body,
    ) -> io::Result<Vec<Span>> {
        let (block, spans) = self.batch_message(rows, body, Some(id as i64))?;
        self.dictionaries.push(block);
        Ok(spans)
    }

    /// Writes a record batch; gives the places of its buffers.
    pub(crate) fn batch(&mut self, rows: u64, body: &Body) -> io::Result<Vec<Span>> {
        let (block, spans) = self.batch_message(rows, body, None)?;
        self.batches.push(block);
        Ok(spans)
    }

    /// Ends the file and waits until it is on the disk; gives its length.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.put(&CONTINUATION)?;
        self.put(&[0; 4])?;
        let footer = self.footer();
        self.put(&footer)?;
        let length = i32::try_from(footer.len()).map_err(io::Error::other)?;
        self.put(&length.to_le_bytes())?;
        self.put(MAGIC)?;
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(self.at)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        let padding = self.at.next_multiple_of(ALIGNMENT) - self.at;
        self.put(&ZEROS[..padding as usize])
    }

    fn batch_message(
        &mut self,
        rows: u64,
        body: &Body,
        dictionary: Option<i64>,
    ) -> io::Result<(Block, Vec<Span>)> {
        let mut places = Vec::with_capacity(body.buffers.len());
        let mut end = 0_u64;
        for buffer in &body.buffers {
            let length = buffer.len() as u64;
            places.push(arrow::ipc::Buffer::new(end as i64, length as i64));
            end += length.next_multiple_of(ALIGNMENT);
        }
        let header = batch_header(rows, body, &places, end, dictionary);
        self.message(&header, &body.buffers)
    }

    /// Writes a message: its header, padded so that the body is aligned, and the body.
    fn message(&mut self, header: &[u8], buffers: &[Buffer]) -> io::Result<(Block, Vec<Span>)> {
        let start = self.at;
        let body = (start + 8 + header.len() as u64).next_multiple_of(ALIGNMENT);
        let length = body - start - 8;
        let length = i32::try_from(length).map_err(io::Error::other)?;
        self.put(&CONTINUATION)?;
        self.put(&length.to_le_bytes())?;
        self.put(header)?;
        self.pad()?;
        let mut spans = Vec::with_capacity(buffers.len());
        for buffer in buffers {
            let (offset, len) = (self.at, buffer.len() as u64);
            spans.push(Span { offset, len, crc: crc32fast::hash(buffer) });
            self.put(buffer)?;
            self.pad()?;
        }
        Ok((Block::new(start as i64, length + 8, (self.at - body) as i64), spans))
    }

    fn footer(&self) -> Vec<u8> {
        let mut fbb = FlatBufferBuilder::new();
        let dictionaries = fbb.create_vector(&self.dictionaries);
        let batches = fbb.create_vector(&self.batches);
        let mut tracker = DictionaryTracker::new(true);
        let schema = IpcSchemaEncoder::new()
            .with_dictionary_tracker(&mut tracker)
            .schema_to_fb_offset(&mut fbb, self.schema);
        let mut footer = FooterBuilder::new(&mut fbb);
        footer.add_version(MetadataVersion::V5);
        footer.add_schema(schema);
        footer.add_dictionaries(dictionaries);
        footer.add_recordBatches(batches);
        let footer = footer.finish();
        fbb.finish(footer, None);
        fbb.finished_data().to_vec()
    }
}

/// The header of a record batch or, with its number, of a dictionary.
#[expect(clippy::cast_possible_wrap, reason = "lengths of files are far below 2^63")]
fn batch_header(
    rows: u64,
    body: &Body,
    places: &[arrow::ipc::Buffer],
    body_bytes: u64,
    dictionary: Option<i64>,
) -> Vec<u8> {
    let mut fbb = FlatBufferBuilder::new();
    let buffers = fbb.create_vector(places);
    let nodes = fbb.create_vector(&body.nodes);
    let variadic = (!body.variadic.is_empty()).then(|| fbb.create_vector(&body.variadic));
    let mut batch = RecordBatchBuilder::new(&mut fbb);
    batch.add_length(rows as i64);
    batch.add_nodes(nodes);
    batch.add_buffers(buffers);
    if let Some(variadic) = variadic {
        batch.add_variadicBufferCounts(variadic);
    }
    let batch = batch.finish();
    let (ty, header) = match dictionary {
        None => (MessageHeader::RecordBatch, batch.as_union_value()),
        Some(id) => {
            let mut dictionary = DictionaryBatchBuilder::new(&mut fbb);
            dictionary.add_id(id);
            dictionary.add_data(batch);
            (MessageHeader::DictionaryBatch, dictionary.finish().as_union_value())
        }
    };
    let mut message = MessageBuilder::new(&mut fbb);
    message.add_version(MetadataVersion::V5);
    message.add_header_type(ty);
    message.add_bodyLength(body_bytes as i64);
    message.add_header(header);
    let message = message.finish();
    fbb.finish(message, None);
    fbb.finished_data().to_vec()
}
