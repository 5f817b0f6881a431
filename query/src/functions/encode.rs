//! Texts and blobs in other alphabets: base64, hexadecimal digits, URLs; characters as numbers.
//!
//! Invariant: what is decoded is checked; a text that is not of the alphabet is an error.

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Int32Type},
};
use datafusion_common::{Result, ScalarValue, exec_err};

use super::{BIGINT, BLOB, Call, Def, Gives, TEXT};

pub(super) const TABLE: &[Def] = &[
    Def { name: "to_base64", aliases: &["base64"], takes: "bytes", gives: TEXT, body: to_base64 },
    Def { name: "from_base64", aliases: &[], takes: "text", gives: BLOB, body: from_base64 },
    Def {
        name: "encode",
        aliases: &[],
        takes: "bytes text?",
        gives: Gives::From(encoded),
        body: encode,
    },
    Def {
        name: "decode",
        aliases: &[],
        takes: "bytes text?",
        gives: Gives::From(decoded),
        body: decode,
    },
    Def { name: "unhex", aliases: &["from_hex"], takes: "text", gives: BLOB, body: unhex },
    Def { name: "to_uuid", aliases: &[], takes: "bytes", gives: TEXT, body: |c| to_uuid(c, false) },
    Def {
        name: "try_to_uuid",
        aliases: &[],
        takes: "bytes",
        gives: TEXT,
        body: |c| to_uuid(c, true),
    },
    Def { name: "url_encode", aliases: &[], takes: "text", gives: TEXT, body: url_encode },
    Def { name: "url_decode", aliases: &[], takes: "text", gives: TEXT, body: url_decode },
    Def { name: "unicode", aliases: &["ord"], takes: "text", gives: BIGINT, body: unicode },
    Def { name: "octet_length", aliases: &[], takes: "bytes", gives: INTEGER, body: octet_length },
    Def { name: "strlen", aliases: &[], takes: "text", gives: BIGINT, body: strlen },
    Def {
        name: "bar",
        aliases: &[],
        takes: "double double double double?",
        gives: TEXT,
        body: bar,
    },
];

const INTEGER: Gives = Gives::Plain(|| DataType::Int32);

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encoded(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(if types.len() == 1 { DataType::BinaryView } else { DataType::Utf8View })
}

fn decoded(types: &[DataType], _: &[Option<&ScalarValue>]) -> Result<DataType> {
    Ok(if types.len() == 1 { DataType::Utf8View } else { DataType::BinaryView })
}

/// The way that the second argument of `encode` and `decode` names: whether it is base64 and not hexadecimal digits.
fn is_base64(call: &Call) -> Result<bool> {
    let methods = call.texts(1)?;
    let mut found = None;
    for method in (0..call.rows).filter_map(|row| methods.at(row)) {
        let base64 = match method.to_ascii_lowercase().as_str() {
            "base64" => true,
            "hex" => false,
            _ => return exec_err!("there is no encoding '{method}': 'base64' and 'hex' are known"),
        };
        if found.is_some_and(|found| found != base64) {
            return exec_err!("the encoding has to be the same in every row");
        }
        found = Some(base64);
    }
    Ok(found.unwrap_or(false))
}

/// A text as the blob of its UTF-8; with a second argument, a blob as base64 or hexadecimal digits.
fn encode(call: &Call) -> Result<ArrayRef> {
    if call.has(1) && is_base64(call)? {
        return to_base64(call);
    }
    let bytes = call.bytes(0)?;
    if !call.has(1) {
        return call.give_blobs(|row| Ok(bytes.at(row).map(<[u8]>::to_vec)));
    }
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    call.give_texts(|row| Ok(bytes.at(row).map(digits)))
}

/// The text of a blob in UTF-8; with a second argument, the blob that base64 or hexadecimal digits stand for.
fn decode(call: &Call) -> Result<ArrayRef> {
    if call.has(1) {
        return if is_base64(call)? { from_base64(call) } else { unhex(call) };
    }
    let bytes = call.bytes(0)?;
    call.give_texts(|row| match bytes.at(row).map(std::str::from_utf8) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(error)) => {
            exec_err!(
                "the blob is not UTF-8: its byte {} begins no character",
                error.valid_up_to() + 1
            )
        }
    })
}

fn to_base64(call: &Call) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    call.give_texts(|row| {
        let Some(bytes) = bytes.at(row) else { return Ok(None) };
        let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
        for chunk in bytes.chunks(3) {
            let word = chunk
                .iter()
                .enumerate()
                .fold(0_u32, |word, (at, byte)| word | u32::from(*byte) << (16 - 8 * at));
            for at in 0..4 {
                let digit = ALPHABET[(word >> (18 - 6 * at) & 63) as usize];
                text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
            }
        }
        Ok(Some(text))
    })
}

fn from_base64(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_blobs(|row| {
        let Some(text) = texts.at(row) else { return Ok(None) };
        let digits = text.trim_end_matches('=');
        let padding = text.len() - digits.len();
        if text.len() % 4 != 0 || padding > 2 {
            return exec_err!("'{text}' is not base64: its length is no multiple of 4");
        }
        let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
        for chunk in digits.as_bytes().chunks(4) {
            let mut word = 0_u32;
            for (at, digit) in chunk.iter().enumerate() {
                let Some(value) = ALPHABET.iter().position(|known| known == digit) else {
                    return exec_err!("'{text}' is not base64: '{}'", char::from(*digit));
                };
                word |= u32::try_from(value).unwrap_or(0) << (18 - 6 * at);
            }
            let whole = word.to_be_bytes();
            bytes.extend_from_slice(&whole[1..chunk.len()]);
        }
        Ok(Some(bytes))
    })
}

/// A UUID as text, of its 32 digits in any case with or without hyphens and braces, or of its 16 bytes.
fn to_uuid(call: &Call, or_null: bool) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    let blobs = *call.args[0].data_type() == DataType::BinaryView;
    call.give_texts(|row| {
        let Some(given) = bytes.at(row) else { return Ok(None) };
        let digits: String = match blobs {
            true => given.iter().map(|byte| format!("{byte:02x}")).collect(),
            false => {
                let text = String::from_utf8_lossy(given).to_ascii_lowercase();
                let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
                inner.unwrap_or(&text).chars().filter(|c| *c != '-').collect()
            }
        };
        if digits.len() != 32 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return match or_null {
                true => Ok(None),
                false => exec_err!("'{}' is no UUID", String::from_utf8_lossy(given)),
            };
        }
        let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        Ok(Some(parts.join("-")))
    })
}

fn unhex(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_blobs(|row| {
        let Some(text) = texts.at(row) else { return Ok(None) };
        let mut digits = Vec::with_capacity(text.len() + 1);
        if text.len() % 2 == 1 {
            digits.push(0);
        }
        for c in text.chars() {
            match c.to_digit(16) {
                Some(digit) => digits.push(u8::try_from(digit).unwrap_or(0)),
                None => return exec_err!("'{c}' is no hexadecimal digit"),
            }
        }
        Ok(Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
    })
}

fn url_encode(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_texts(|row| {
        let encode = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        };
        Ok(texts.at(row).map(|text| text.bytes().map(encode).collect::<String>()))
    })
}

fn url_decode(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_texts(|row| {
        let Some(text) = texts.at(row) else { return Ok(None) };
        let (mut bytes, mut at) = (Vec::with_capacity(text.len()), 0);
        let given = text.as_bytes();
        while at < given.len() {
            let code = text.get(at + 1..at + 3).and_then(|code| u8::from_str_radix(code, 16).ok());
            match (given[at], code) {
                (b'%', Some(byte)) => {
                    bytes.push(byte);
                    at += 3;
                }
                (byte, _) => {
                    bytes.push(byte);
                    at += 1;
                }
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => exec_err!("'{text}' stands for bytes that are no text"),
        }
    })
}

fn unicode(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_integers(|row| {
        let Some(text) = texts.at(row) else { return Ok(None) };
        Ok(Some(text.chars().next().map_or(-1, |c| i64::from(u32::from(c)))))
    })
}

fn strlen(call: &Call) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    call.give_integers(|row| Ok(texts.at(row).and_then(|text| i64::try_from(text.len()).ok())))
}

fn octet_length(call: &Call) -> Result<ArrayRef> {
    let bytes = call.bytes(0)?;
    call.give_numbers::<Int32Type>(|row| {
        Ok(bytes.at(row).and_then(|bytes| i32::try_from(bytes.len()).ok()))
    })
}

/// A bar of blocks, in eighths, as long as a number between two others; 80 characters at most.
fn bar(call: &Call) -> Result<ArrayRef> {
    use arrow::datatypes::Float64Type;
    const EIGHTHS: [char; 8] =
        [' ', '\u{258f}', '\u{258e}', '\u{258d}', '\u{258c}', '\u{258b}', '\u{258a}', '\u{2589}'];
    let [x, least, most] = [0, 1, 2].map(|at| call.numbers::<Float64Type>(at));
    let (x, least, most) = (x?, least?, most?);
    let width = call.has(3).then(|| call.numbers::<Float64Type>(3)).transpose()?;
    call.give_texts(|row| {
        let width = width.as_ref().map_or(Some(80.0), |width| width.at(row));
        let (Some(x), Some(least), Some(most), Some(width)) =
            (x.at(row), least.at(row), most.at(row), width)
        else {
            return Ok(None);
        };
        if !(1.0..=1000.0).contains(&width) {
            return exec_err!("a width from 1 to 1000, not {width}");
        }
        if !least.is_finite() || !most.is_finite() || x.is_nan() {
            return exec_err!("a number between two finite ones");
        }
        let part =
            if x <= least || most <= least { 0.0 } else { ((x - least) / (most - least)).min(1.0) };
        let eighths = (part * width * 8.0) as usize;
        let mut text = "\u{2588}".repeat(eighths / 8);
        if !eighths.is_multiple_of(8) {
            text.push(EIGHTHS[eighths % 8]);
        }
        while text.chars().count() < width as usize {
            text.push(' ');
        }
        Ok(Some(text))
    })
}
