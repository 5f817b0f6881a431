//! Where the buffers of a column lie in its file, and how its encoding is made of them.
//!
//! Invariants: buffers stand in the order of Arrow IPC (depth first: validity, then the others); a missing validity
//! bitmap is an empty span; every span lies within the file.
//! Next: `physical.rs`, `stored.rs`.

use arrow::datatypes::DataType;

use crate::disk::codec::{Malformed, Reader, Writer};

/// A buffer in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Span {
    /// Its first byte, counted from the start of the file.
    pub(crate) offset: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// The CRC-32 of its bytes.
    pub(crate) crc: u32,
}

/// An array in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ArrayLayout {
    /// The length of the array and of its children, depth first.
    pub(crate) lengths: Vec<u64>,
    /// For each array of views among them, how many buffers of long values it has.
    pub(crate) variadic: Vec<u64>,
    /// The buffers.
    pub(crate) spans: Vec<Span>,
}

impl ArrayLayout {
    pub(crate) fn write(&self, out: &mut Writer) {
        let numbers = |out: &mut Writer, numbers: &[u64]| {
            out.len(numbers.len());
            numbers.iter().for_each(|&number| out.u64(number));
        };
        numbers(out, &self.lengths);
        numbers(out, &self.variadic);
        out.len(self.spans.len());
        for span in &self.spans {
            out.u64(span.offset);
            out.u64(span.len);
            out.u32(span.crc);
        }
    }

    /// Reads where an array lies within a file of `file_bytes` bytes.
    pub(crate) fn read(input: &mut Reader, file_bytes: u64) -> Result<Self, Malformed> {
        let lengths = input.list(8, Reader::u64)?;
        let variadic = input.list(8, Reader::u64)?;
        let spans = input.list(20, |input| {
            let span = Span { offset: input.u64()?, len: input.u64()?, crc: input.u32()? };
            match span.offset.checked_add(span.len) {
                Some(end) if end <= file_bytes => Ok(span),
                _ => Err(format!("{span:?} lies outside of a file of {file_bytes} bytes")),
            }
        })?;
        Ok(Self { lengths, variadic, spans })
    }
}

/// The width of codes and offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    One,
    Two,
    Four,
    Eight,
}

impl Width {
    /// The width of an array of codes or offsets, if it is one.
    pub(crate) fn of(ty: &DataType) -> Option<Self> {
        Some(match ty {
            DataType::UInt8 => Self::One,
            DataType::UInt16 => Self::Two,
            DataType::UInt32 => Self::Four,
            DataType::Int64 => Self::Eight,
            _ => return None,
        })
    }

    fn label(self) -> &'static str {
        match self {
            Self::One => "u8",
            Self::Two => "u16",
            Self::Four => "u32",
            Self::Eight => "i64",
        }
    }

    /// The Arrow type.
    pub(crate) fn to_arrow(self) -> DataType {
        match self {
            Self::One => DataType::UInt8,
            Self::Two => DataType::UInt16,
            Self::Four => DataType::UInt32,
            Self::Eight => DataType::Int64,
        }
    }
}

/// A column in a file: its encoding, with arrays in place of values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Layout {
    Constant(ArrayLayout),
    Plain(ArrayLayout),
    Narrow { base: i64, width: Width, offsets: ArrayLayout },
    Dictionary { width: Width, codes: ArrayLayout, entries: Entries },
    RunEnd { ends: ArrayLayout, values: ArrayLayout },
    View(ArrayLayout),
}

/// The entries of a dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entries {
    /// In the column's file.
    Own(ArrayLayout),
    /// In the file of this number, which several columns share.
    Shared(u64),
}

impl Layout {
    /// As `Column::encoding_label`.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Constant(_) => "constant".into(),
            Self::Plain(_) => "plain".into(),
            Self::Narrow { width, .. } => format!("narrow({})", width.label()),
            Self::Dictionary { width, .. } => format!("dictionary({})", width.label()),
            Self::RunEnd { .. } => "run-end".into(),
            Self::View(_) => "view".into(),
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        let width = |out: &mut Writer, width: Width| {
            out.u8(match width {
                Width::One => 1,
                Width::Two => 2,
                Width::Four => 4,
                Width::Eight => 8,
            });
        };
        match self {
            Self::Constant(value) => {
                out.u8(0);
                value.write(out);
            }
            Self::Plain(values) => {
                out.u8(1);
                values.write(out);
            }
            Self::Narrow { base, width: narrow, offsets } => {
                out.u8(2);
                out.i64(*base);
                width(out, *narrow);
                offsets.write(out);
            }
            Self::Dictionary { width: narrow, codes, entries } => {
                out.u8(3);
                width(out, *narrow);
                codes.write(out);
                match entries {
                    Entries::Own(values) => {
                        out.u8(0);
                        values.write(out);
                    }
                    Entries::Shared(number) => {
                        out.u8(1);
                        out.u64(*number);
                    }
                }
            }
            Self::RunEnd { ends, values } => {
                out.u8(4);
                ends.write(out);
                values.write(out);
            }
            Self::View(values) => {
                out.u8(5);
                values.write(out);
            }
        }
    }

    /// Reads a layout within a file of `file_bytes` bytes.
    pub(crate) fn read(input: &mut Reader, file_bytes: u64) -> Result<Self, Malformed> {
        let width = |input: &mut Reader| match input.u8()? {
            1 => Ok(Width::One),
            2 => Ok(Width::Two),
            4 => Ok(Width::Four),
            8 => Ok(Width::Eight),
            other => Err(format!("a width of {other} bytes")),
        };
        let array = |input: &mut Reader| ArrayLayout::read(input, file_bytes);
        Ok(match input.u8()? {
            0 => Self::Constant(array(input)?),
            1 => Self::Plain(array(input)?),
            2 => {
                let (base, width) = (input.i64()?, width(input)?);
                Self::Narrow { base, width, offsets: array(input)? }
            }
            3 => {
                let (width, codes) = (width(input)?, array(input)?);
                let entries = match input.u8()? {
                    0 => Entries::Own(array(input)?),
                    1 => Entries::Shared(input.u64()?),
                    other => return Err(format!("dictionary entries of kind {other}")),
                };
                Self::Dictionary { width, codes, entries }
            }
            4 => Self::RunEnd { ends: array(input)?, values: array(input)? },
            5 => Self::View(array(input)?),
            other => return Err(format!("an encoding of number {other}")),
        })
    }
}
