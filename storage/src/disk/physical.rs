//! Arrays taken apart into the buffers that Arrow IPC lists, and put together again.
//!
//! Invariants: values are neither copied nor decoded (validity that does not begin at a byte excepted); what is put
//! together has been validated by Arrow (lengths, offsets, UTF-8), so that no bytes whatever can lead to a panic later.
//! Next: `ipc.rs`, `stored.rs`.

use arrow::{
    array::{Array, ArrayData, ArrayRef, make_array},
    buffer::{BooleanBuffer, Buffer, NullBuffer},
    datatypes::DataType,
};

use crate::{
    disk::{
        codec::Malformed,
        layout::{ArrayLayout, Span},
    },
    error::{Result, StorageError},
};

/// An array in parts, in the order of Arrow IPC.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Length and number of NULLs of the array and its children, depth first.
    pub(crate) nodes: Vec<(u64, u64)>,
    /// The buffers; one of no bytes for validity without NULL.
    pub(crate) buffers: Vec<Buffer>,
    /// How many buffers of long values each array of views has.
    pub(crate) variadic: Vec<u64>,
}

impl Parts {
    /// The parts of an array of canonical layout, of codes or of offsets.
    ///
    /// # Errors
    /// `Internal` for an Arrow type that no column has.
    pub(crate) fn of(array: &dyn Array) -> Result<Self> {
        let mut parts = Self::default();
        parts.push(&array.to_data())?;
        Ok(parts)
    }

    fn push(&mut self, data: &ArrayData) -> Result<()> {
        let (offset, len) = (data.offset(), data.len());
        let nulls = data.nulls().filter(|nulls| nulls.null_count() > 0);
        let null_count = match data.data_type() {
            DataType::Null => len,
            _ => nulls.map_or(0, NullBuffer::null_count),
        };
        self.nodes.push((len as u64, null_count as u64));
        if *data.data_type() == DataType::Null {
            return Ok(());
        }
        self.buffers.push(nulls.map_or_else(Buffer::default, |nulls| nulls.inner().sliced()));
        let buffers = data.buffers();
        match data.data_type() {
            DataType::Boolean => self.buffers.push(buffers[0].bit_slice(offset, len)),
            DataType::Utf8View | DataType::BinaryView => {
                self.buffers.push(buffers[0].slice_with_length(offset * 16, len * 16));
                self.buffers.extend_from_slice(&buffers[1..]);
                self.variadic.push(buffers.len() as u64 - 1);
            }
            DataType::List(_) | DataType::Map(..) => {
                // An empty list array may come without its one offset.
                self.buffers.push(match buffers[0].len() {
                    0 => Buffer::from_slice_ref([0_i32]),
                    _ => buffers[0].slice_with_length(offset * 4, (len + 1) * 4),
                });
                self.push(&data.child_data()[0])?;
            }
            DataType::Struct(_) => {
                for child in data.child_data() {
                    self.push(&child.slice(offset, len))?;
                }
            }
            ty => {
                let unknown = || StorageError::Internal(format!("a column of Arrow type {ty}"));
                let width = ty.primitive_width().ok_or_else(unknown)?;
                self.buffers.push(buffers[0].slice_with_length(offset * width, len * width));
            }
        }
        Ok(())
    }

    /// Where the array lies, its buffers being the next of `spans`.
    pub(crate) fn layout(&self, spans: &mut impl Iterator<Item = Span>) -> ArrayLayout {
        ArrayLayout {
            lengths: self.nodes.iter().map(|&(len, _)| len).collect(),
            variadic: self.variadic.clone(),
            spans: spans.take(self.buffers.len()).collect(),
        }
    }
}

/// The array of a type whose parts lie as `layout` says; `buffers` are those of its spans.
///
/// # Errors
/// When the parts do not make an array of the type.
pub(crate) fn put_together(
    ty: &DataType,
    layout: &ArrayLayout,
    buffers: Vec<Buffer>,
) -> Result<ArrayRef, Malformed> {
    let mut rest = Rest {
        lengths: layout.lengths.iter(),
        variadic: layout.variadic.iter(),
        buffers: buffers.into_iter(),
    };
    let data = rest.pull(ty)?;
    if rest.lengths.len() + rest.variadic.len() + rest.buffers.len() > 0 {
        return Err(format!("too many parts for an array of type {ty}"));
    }
    Ok(make_array(data))
}

/// The parts that are left.
struct Rest<'a> {
    lengths: std::slice::Iter<'a, u64>,
    variadic: std::slice::Iter<'a, u64>,
    buffers: std::vec::IntoIter<Buffer>,
}

impl Rest<'_> {
    fn buffer(&mut self) -> Result<Buffer, Malformed> {
        self.buffers.next().ok_or_else(|| "a buffer is missing".to_owned())
    }

    fn pull(&mut self, ty: &DataType) -> Result<ArrayData, Malformed> {
        let length = self.lengths.next().ok_or("a length is missing")?;
        let len = usize::try_from(*length).map_err(|error| error.to_string())?;
        let mut data = ArrayData::builder(ty.clone()).len(len);
        if *ty != DataType::Null {
            data = data.nulls(nulls(self.buffer()?, len)?);
        }
        data = match ty {
            DataType::Null => data,
            DataType::Utf8View | DataType::BinaryView => {
                let views = self.buffer()?;
                let count = *self.variadic.next().ok_or("a number of buffers is missing")?;
                let long = (0..count).map(|_| self.buffer()).collect::<Result<Vec<_>, _>>()?;
                data.add_buffer(views).add_buffers(long)
            }
            DataType::List(field) | DataType::Map(field, _) => {
                let offsets = self.buffer()?;
                data.add_buffer(offsets).add_child_data(self.pull(field.data_type())?)
            }
            DataType::Struct(fields) => {
                let children = fields.iter().map(|field| self.pull(field.data_type()));
                data.child_data(children.collect::<Result<_, _>>()?)
            }
            _ => data.add_buffer(self.buffer()?),
        };
        data.build().map_err(|error| error.to_string())
    }
}

fn nulls(validity: Buffer, len: usize) -> Result<Option<NullBuffer>, Malformed> {
    match validity.len() {
        0 => Ok(None),
        bytes if bytes >= len.div_ceil(8) => {
            Ok(Some(NullBuffer::new(BooleanBuffer::new(validity, 0, len))))
        }
        bytes => Err(format!("{bytes} bytes of validity for {len} rows")),
    }
}
