//! The statistics of a column as bytes in the manifest.
//!
//! Invariants: bounds come back bit by bit; every member of `Statistics` is named here, so that a new one cannot be
//! forgotten (it changes the format: see `manifest::FORMAT`).
//! Next: `../table/stats.rs`.

use arrow::{
    array::{
        Array, ArrayData, ArrayRef, BinaryViewArray, BooleanArray, StringViewArray, make_array,
    },
    buffer::Buffer,
};
use bytes::Bytes;

use crate::{
    BLOCK_ROWS,
    disk::codec::{Malformed, Reader, Writer},
    moment::Moment,
    reproducible_sum::Accumulator,
    scalar::Scalar,
    table::{ColumnStatistics, ExactSums, Sketch, Statistics, Sums},
    types::LogicalType,
};

/// The bytes of a column's statistics.
pub(crate) fn write(statistics: &ColumnStatistics, ty: &LogicalType, out: &mut Writer) {
    let ColumnStatistics { whole, blocks, sketch } = statistics;
    write_one(whole, ty, out);
    out.len(blocks.len());
    blocks.iter().for_each(|block| write_one(block, ty, out));
    out.bytes(sketch.as_ref().map_or(&[], Sketch::registers));
}

/// The statistics of a column of `rows` rows of a type.
///
/// # Errors
/// When the bytes do not hold them.
pub(crate) fn read(
    bytes: Bytes,
    ty: &LogicalType,
    rows: usize,
) -> Result<ColumnStatistics, Malformed> {
    let mut input = Reader::new(bytes);
    let whole = read_one(&mut input, ty)?;
    let blocks = input.list(28, |input| read_one(input, ty))?;
    let registers = input.bytes()?;
    input.end()?;
    if blocks.len() != rows.div_ceil(BLOCK_ROWS) {
        return Err(format!("{} blocks for {rows} rows", blocks.len()));
    }
    let sketch = match registers.is_empty() {
        true => None,
        false => Some(Sketch::from_registers(&registers).ok_or("a sketch of another size")?),
    };
    Ok(ColumnStatistics { whole, blocks: blocks.into(), sketch })
}

fn write_one(statistics: &Statistics, ty: &LogicalType, out: &mut Writer) {
    let Statistics { rows, nulls, nans, unknown, min, max, sums } = statistics;
    out.len(*rows);
    out.len(*nulls);
    out.len(*nans);
    out.u8((*unknown).into());
    write_bound(min.as_ref(), ty, out);
    write_bound(max.as_ref(), ty, out);
    write_sums(sums, out);
}

fn read_one(input: &mut Reader, ty: &LogicalType) -> Result<Statistics, Malformed> {
    Ok(Statistics {
        rows: input.len()?,
        nulls: input.len()?,
        nans: input.len()?,
        unknown: input.u8()? != 0,
        min: read_bound(input, ty)?,
        max: read_bound(input, ty)?,
        sums: read_sums(input)?,
    })
}

fn write_sums(sums: &Sums, out: &mut Writer) {
    match sums {
        Sums::None => out.u8(0),
        Sums::Exact(ExactSums { sum, squares, carries }) => {
            out.u8(1);
            out.raw(&sum.to_le_bytes());
            out.raw(&squares.to_le_bytes());
            out.u32(*carries);
        }
        Sums::Float { sum: Accumulator { high, low }, moment } => {
            let Moment { count, mean, deviations } = moment;
            out.u8(2);
            for value in [high, low, count, mean, deviations] {
                out.u64(value.to_bits());
            }
        }
    }
}

fn read_sums(input: &mut Reader) -> Result<Sums, Malformed> {
    Ok(match input.u8()? {
        0 => Sums::None,
        1 => {
            let (sum, squares) = (i128::from_le_bytes(input.array()?), input.array()?);
            let squares = u128::from_le_bytes(squares);
            Sums::Exact(ExactSums { sum, squares, carries: input.u32()? })
        }
        2 => {
            let mut double = || input.u64().map(f64::from_bits);
            Sums::Float {
                sum: Accumulator { high: double()?, low: double()? },
                moment: Moment { count: double()?, mean: double()?, deviations: double()? },
            }
        }
        other => return Err(format!("sums of kind {other}")),
    })
}

/// A bound of the column's type. One of another type, or of a type without bounds, is left out: it is unknown then.
fn write_bound(bound: Option<&Scalar>, ty: &LogicalType, out: &mut Writer) {
    match bound.filter(|bound| bound.ty() == ty).and_then(bound_bytes) {
        None => out.u8(0),
        Some(bytes) => {
            out.u8(1);
            out.bytes(&bytes);
        }
    }
}

fn bound_bytes(bound: &Scalar) -> Option<Vec<u8>> {
    if bound.is_null() {
        return None;
    }
    if let Some(value) = bound.as_bool() {
        return Some(vec![value.into()]);
    }
    if let Some(bytes) = bound.as_bytes() {
        return Some(bytes.to_vec());
    }
    let width = bound.ty().to_arrow().primitive_width()?;
    let data = bound.array().to_data();
    let from = data.offset() * width;
    data.buffers().first()?.as_slice().get(from..from + width).map(<[u8]>::to_vec)
}

fn read_bound(input: &mut Reader, ty: &LogicalType) -> Result<Option<Scalar>, Malformed> {
    if input.u8()? == 0 {
        return Ok(None);
    }
    let bytes = input.bytes()?;
    let array: ArrayRef = match ty {
        LogicalType::Boolean => make_array(BooleanArray::from(vec![*bytes == [1]]).into_data()),
        LogicalType::Text => {
            let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
            make_array(StringViewArray::from(vec![text]).into_data())
        }
        LogicalType::Blob => make_array(BinaryViewArray::from(vec![bytes.as_ref()]).into_data()),
        _ => {
            let data =
                ArrayData::builder(ty.to_arrow()).len(1).add_buffer(Buffer::from(&bytes[..]));
            make_array(data.build().map_err(|error| error.to_string())?)
        }
    };
    Scalar::from_array(array.as_ref(), 0).map(Some).map_err(|error| error.to_string())
}
