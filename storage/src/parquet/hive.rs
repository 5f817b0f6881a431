//! Hive-style folders: `year=2024/month=01/file.parquet` gives the columns `year` and `month`.
//!
//! Invariant: a key has one type over all files: BIGINT if every value is a whole number, DATE if every value is a
//! date, else VARCHAR.
//! Next: `dataset.rs`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Date32Array},
    datatypes::DataType,
};

use crate::{
    error::{Result, StorageError},
    scalar::Scalar,
    types::LogicalType,
};

/// The folder name that stands for NULL.
pub(crate) const NULL_FOLDER: &str = "__HIVE_DEFAULT_PARTITION__";

/// A key and the value that each file has.
#[derive(Debug)]
pub(crate) struct HiveColumn {
    /// The key.
    pub name: String,
    /// The type of all values.
    pub ty: LogicalType,
    /// One value per file.
    pub values: Vec<Scalar>,
}

/// The key columns of a set of files; none when the files disagree about the keys and `required` is false.
///
/// # Errors
/// `SchemaMismatch` when keys are required and the files disagree about them.
pub(crate) fn columns(paths: &[String], required: bool) -> Result<Vec<HiveColumn>> {
    let parsed: Vec<_> = paths.iter().map(|path| pairs(path)).collect();
    let Some(first) = parsed.first() else { return Ok(Vec::new()) };
    for (path, pairs) in paths.iter().zip(&parsed) {
        if !pairs.iter().map(|(key, _)| key).eq(first.iter().map(|(key, _)| key)) {
            let keys: Vec<_> = pairs.iter().map(|(key, _)| key.as_str()).collect();
            let message = format!("its key=value folders are [{}]", keys.join(", "));
            return match required {
                true => Err(StorageError::SchemaMismatch { path: path.clone(), message }),
                false => Ok(Vec::new()),
            };
        }
    }
    let column = |at: usize| {
        let values: Vec<Option<&str>> =
            parsed.iter().map(|pairs| pairs.get(at).and_then(|(_, v)| v.as_deref())).collect();
        typed(first[at].0.clone(), &values)
    };
    (0..first.len()).map(column).collect()
}

/// The keys and values of a path's folders, in order. The first of two equal keys counts.
fn pairs(path: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    let mut folders: Vec<&str> = path.split(std::path::is_separator).collect();
    folders.pop();
    for folder in folders {
        let Some((key, value)) = folder.split_once('=') else { continue };
        let key = decode(key);
        if key.is_empty() || found.iter().any(|(known, _)| known.eq_ignore_ascii_case(&key)) {
            continue;
        }
        found.push((key, (value != NULL_FOLDER).then(|| decode(value))));
    }
    found
}

fn typed(name: String, values: &[Option<&str>]) -> Result<HiveColumn> {
    let known = || values.iter().flatten();
    let (ty, values): (_, Vec<Scalar>) = if known().all(|value| whole(value).is_some()) {
        let ty = LogicalType::Int64;
        let scalar = |v: &Option<&str>| v.and_then(whole).map(Scalar::int64);
        let values = values.iter().map(|v| scalar(v).unwrap_or_else(|| Scalar::null(ty.clone())));
        (ty.clone(), values.collect())
    } else if let Some(days) = values
        .iter()
        .map(|v| v.map_or(Some(None), |v| date(v).map(Some)))
        .collect::<Option<Vec<_>>>()
    {
        let array: ArrayRef = Arc::new(Date32Array::from(days));
        let rows = 0..array.len();
        (
            LogicalType::Date,
            rows.map(|row| Scalar::from_array(array.as_ref(), row)).collect::<Result<_>>()?,
        )
    } else {
        let scalar =
            |v: &Option<&str>| v.map_or_else(|| Scalar::null(LogicalType::Text), Scalar::text);
        (LogicalType::Text, values.iter().map(scalar).collect())
    };
    Ok(HiveColumn { name, ty, values })
}

fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Days since 1970 of `YYYY-MM-DD`.
fn date(text: &str) -> Option<i32> {
    let well_formed = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    if !well_formed {
        return None;
    }
    let array: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![text]));
    let days = arrow::compute::cast(&array, &DataType::Date32).ok()?;
    let days = arrow::array::AsArray::as_primitive::<arrow::datatypes::Date32Type>(&days);
    arrow::array::Array::is_valid(days, 0).then(|| days.value(0))
}

/// A key or a value as part of a folder's name: what could be taken for something else is percent-encoded.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for &byte in text.as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Undoes percent-encoding; what is not valid is left as it stands.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| byte == b'%');
        let code = hex
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|&path| path.into()).collect()
    }

    #[test]
    fn test_hive_types_and_values() {
        let paths = strings(&[
            "d/y=2024/day=2024-02-29/k=a%20b/x.parquet",
            "d/y=-1/day=2023-01-01/k=__HIVE_DEFAULT_PARTITION__/x=1.parquet",
        ]);
        let columns = columns(&paths, false).unwrap();
        let types: Vec<_> = columns.iter().map(|c| (c.name.as_str(), &c.ty)).collect();
        assert_eq!(
            types,
            [("y", &LogicalType::Int64), ("day", &LogicalType::Date), ("k", &LogicalType::Text)]
        );
        assert_eq!(columns[0].values, [Scalar::int64(2024), Scalar::int64(-1)]);
        assert_eq!(columns[1].values[0].as_i128(), Some(19782));
        assert_eq!(columns[2].values, [Scalar::text("a b"), Scalar::null(LogicalType::Text)]);
    }

    #[test]
    fn test_hive_falls_back_to_text() {
        let paths = strings(&["y=2024/d=2024-02-30/x", "y=20x/d=2024-02-01/x"]);
        let columns = columns(&paths, true).unwrap();
        assert!(columns.iter().all(|column| column.ty == LogicalType::Text));
        assert_eq!(columns[0].values[0], Scalar::text("2024"));
    }

    #[test]
    fn test_hive_keys_disagree() {
        let paths = strings(&["a=1/x", "b=1/x"]);
        assert!(columns(&paths, false).unwrap().is_empty());
        let error = columns(&paths, true).unwrap_err().to_string();
        assert!(error.contains("b=1/x"), "{error}");
    }
}
