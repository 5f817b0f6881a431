//! Single bits, and whole numbers in digits of other bases.
//!
//! Invariant: whole numbers are 64 bits in two's complement.

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_err};

use super::{BIGINT, BLOB, Call, Def, TEXT};

pub(super) const TABLE: &[Def] = &[
    Def { name: "bit_count", aliases: &[], takes: "bigint", gives: BIGINT, body: bit_count },
    Def { name: "bin", aliases: &["to_binary"], takes: "any", gives: TEXT, body: bin },
    Def { name: "unbin", aliases: &["from_binary"], takes: "text", gives: BLOB, body: unbin },
    Def {
        name: "to_base",
        aliases: &[],
        takes: "bigint bigint bigint?",
        gives: TEXT,
        body: to_base,
    },
    Def { name: "bit_position", aliases: &[], takes: "text text", gives: BIGINT, body: position },
];

fn bit_count(call: &Call) -> Result<ArrayRef> {
    let numbers = call.integers(0)?;
    call.give_integers(|row| Ok(numbers.at(row).map(|number| number.count_ones().into())))
}

/// The digits of a whole number, or of every byte of a text or a blob.
fn bin(call: &Call) -> Result<ArrayRef> {
    if call.args[0].data_type().is_integer() || call.args[0].data_type().is_null() {
        let numbers = arrow::compute::cast(&call.args[0], &arrow::datatypes::DataType::Int64)?;
        let call = Call {
            args: vec![numbers],
            constant: call.constant.clone(),
            rows: call.rows,
            ty: call.ty.clone(),
        };
        let numbers = call.integers(0)?;
        return call.give_texts(|row| Ok(numbers.at(row).map(|number| format!("{number:b}"))));
    }
    let bytes = call.bytes(0)?;
    call.give_texts(|row| {
        Ok(bytes.at(row).map(|bytes| bytes.iter().map(|b| format!("{b:08b}")).collect::<String>()))
    })
}

fn unbin(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_blobs(|row| {
        let Some(text) = texts.at(row) else { return Ok(None) };
        if let Some(other) = text.chars().find(|c| !matches!(c, '0' | '1')) {
            return exec_err!("'{other}' is no binary digit");
        }
        // Digits are missing on the left.
        let digits: Vec<u8> = text.bytes().map(|digit| digit - b'0').collect();
        let bytes = digits.rchunks(8).rev().map(|byte| byte.iter().fold(0, |a, bit| a << 1 | bit));
        Ok(Some(bytes.collect()))
    })
}

fn to_base(call: &Call) -> Result<ArrayRef> {
    let (numbers, bases) = (call.integers(0)?, call.integers(1)?);
    let widths = call.has(2).then(|| call.integers(2)).transpose()?;
    call.give_texts(|row| {
        let width = widths.as_ref().map_or(Some(0), |widths| widths.at(row));
        let (Some(number), Some(base), Some(width)) = (numbers.at(row), bases.at(row), width)
        else {
            return Ok(None);
        };
        let Ok(mut number) = u64::try_from(number) else {
            return exec_err!("a number that is not negative, not {number}");
        };
        let base = match u64::try_from(base) {
            Ok(base @ 2..=36) => base,
            _ => return exec_err!("a base from 2 to 36, not {base}"),
        };
        let Some(width) = usize::try_from(width).ok().filter(|width| *width <= 64) else {
            return exec_err!("a width from 0 to 64, not {width}");
        };
        let mut digits = Vec::new();
        while number > 0 || digits.is_empty() {
            let digit = u32::try_from(number % base).unwrap_or(0);
            digits.push(char::from_digit(digit, 36).unwrap_or('0').to_ascii_uppercase());
            number /= base;
        }
        while digits.len() < width {
            digits.push('0');
        }
        Ok(Some(digits.iter().rev().collect::<String>()))
    })
}

fn position(call: &Call) -> Result<ArrayRef> {
    let (needles, texts) = (call.texts(0)?, call.texts(1)?);
    call.give_integers(|row| {
        let (Some(needle), Some(text)) = (needles.at(row), texts.at(row)) else { return Ok(None) };
        let at = text.find(needle).map_or(0, |at| text[..at].chars().count() + 1);
        Ok(i64::try_from(at).ok())
    })
}
