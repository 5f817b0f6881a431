//! The options of `read_csv`, `read_parquet`, `read_json` and `read_arrow`: from the arguments to what storage is told.
//!
//! Invariant: an option that is not honoured is refused by name, with its place.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion_sql::sqlparser::ast::{Array, Expr, Spanned, UnaryOperator, Value};
use stoadb_storage::{
    LogicalType, TimeUnit,
    csv::{CsvOptions, CsvTypes},
    ipc::ArrowOptions,
    json::{JsonLayout, JsonOptions},
    parquet::ParquetOptions,
};

use crate::{
    error::{Error, ErrorKind, Result, Span},
    sql::parse::place,
};

/// An option as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileOption {
    /// Its name, folded.
    pub name: String,
    /// Its value.
    pub value: OptionValue,
    /// Where it stands.
    pub place: Option<Span>,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum OptionValue {
    /// `true`, `false`.
    Boolean(bool),
    /// A whole number.
    Number(i64),
    /// A text.
    Text(String),
    /// `[..]`.
    List(Vec<OptionValue>),
    /// `{'key': .., ..}`.
    Pairs(Vec<(String, OptionValue)>),
}

impl FileOption {
    /// An option of a call; where none is known, its place is that of the value.
    ///
    /// # Errors
    /// `Type` when the value is not a literal.
    pub fn new(name: String, value: &Expr, named_at: Option<Span>) -> Result<Self> {
        let place = named_at.or(place(value.span()));
        let Some(value) = literal(value) else {
            let message = format!("the option {name} is a literal, not {value}");
            return Err(Error::new(ErrorKind::Type, message).or_span(place));
        };
        Ok(Self { name, value, place })
    }

    /// The error about a value of the wrong kind.
    pub(crate) fn wrong(&self, expected: &str) -> Error {
        let message = format!("the option {} is {expected}", self.name);
        Error::new(ErrorKind::Type, message).or_span(self.place)
    }

    /// A flag.
    pub(crate) fn flag(&self) -> Result<bool> {
        match &self.value {
            OptionValue::Boolean(flag) => Ok(*flag),
            OptionValue::Number(number) => Ok(*number != 0),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// A text.
    pub(crate) fn text(&self) -> Result<String> {
        match &self.value {
            OptionValue::Text(text) => Ok(text.clone()),
            _ => Err(self.wrong("a text")),
        }
    }

    /// A text or a list of texts.
    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        let wrong = || self.wrong("a text or a list of texts");
        let text = |value: &OptionValue| match value {
            OptionValue::Text(text) => Ok(text.clone()),
            _ => Err(wrong()),
        };
        match &self.value {
            OptionValue::Text(text) => Ok(vec![text.clone()]),
            OptionValue::List(list) => list.iter().map(text).collect(),
            _ => Err(wrong()),
        }
    }

    /// A number of things; -1 means all.
    pub(crate) fn count(&self) -> Result<usize> {
        match &self.value {
            OptionValue::Number(-1) => Ok(usize::MAX),
            OptionValue::Number(number) => {
                usize::try_from(*number).map_err(|_| self.wrong("a number of at least 0"))
            }
            _ => Err(self.wrong("a number")),
        }
    }

    fn types(&self) -> Result<CsvTypes> {
        let ty = |value: &OptionValue| match value {
            OptionValue::Text(name) => type_named(name).ok_or_else(|| {
                let message = format!("there is no type {name} for columns of CSV files");
                Error::new(ErrorKind::Type, message).or_span(self.place)
            }),
            _ => Err(self.wrong("texts that name types")),
        };
        match &self.value {
            OptionValue::List(list) => {
                Ok(CsvTypes::Positional(list.iter().map(ty).collect::<Result<_>>()?))
            }
            OptionValue::Pairs(pairs) => {
                let pairs = pairs.iter().map(|(name, value)| Ok((name.clone(), ty(value)?)));
                Ok(CsvTypes::Named(pairs.collect::<Result<_>>()?))
            }
            _ => Err(self.wrong("a list of types, or columns with their types: {'a': 'INTEGER'}")),
        }
    }
}

/// The literal that an expression is.
pub(super) fn literal(expr: &Expr) -> Option<OptionValue> {
    Some(match expr {
        Expr::Value(value) => match &value.value {
            Value::Boolean(flag) => OptionValue::Boolean(*flag),
            Value::Number(digits, _) => OptionValue::Number(digits.parse().ok()?),
            text => OptionValue::Text(text.clone().into_string()?),
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match literal(expr)? {
            OptionValue::Number(number) => OptionValue::Number(-number),
            _ => return None,
        },
        Expr::Array(Array { elem, .. }) => {
            OptionValue::List(elem.iter().map(literal).collect::<Option<_>>()?)
        }
        Expr::Dictionary(fields) => {
            let pair = |field: &datafusion_sql::sqlparser::ast::DictionaryField| {
                Some((field.key.value.clone(), literal(&field.value)?))
            };
            OptionValue::Pairs(fields.iter().map(pair).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// The options of Parquet files.
///
/// # Errors
/// `Unsupported` for options that they do not have, `Type` for values of the wrong kind.
pub fn parquet(options: &[FileOption]) -> Result<ParquetOptions> {
    let mut known = ParquetOptions::default();
    for option in options {
        match option.name.as_str() {
            "hive_partitioning" => known.hive_partitioning = Some(option.flag()?),
            "union_by_name" => known.union_by_name = option.flag()?,
            "filename" => known.filename = option.flag()?,
            name => {
                let error = Error::unsupported(format!("the option {name} of Parquet files"));
                return Err(error.or_span(option.place));
            }
        }
    }
    Ok(known)
}

/// The options of CSV files.
///
/// # Errors
/// `Unsupported` for options that they do not have, `Type` for values of the wrong kind.
pub fn csv(options: &[FileOption]) -> Result<CsvOptions> {
    let mut known = CsvOptions::default();
    for option in options {
        match option.name.as_str() {
            "delim" | "sep" | "delimiter" => known.delimiter = Some(option.text()?),
            "quote" => known.quote = Some(option.text()?),
            "escape" => known.escape = Some(option.text()?),
            "header" => known.header = Some(option.flag()?),
            "nullstr" | "null" | "na_values" => known.nulls = option.texts()?,
            "allow_quoted_nulls" => known.quoted_nulls = option.flag()?,
            "names" | "column_names" => known.names = option.texts()?,
            "types" | "dtypes" | "dtype" | "column_types" => known.types = option.types()?,
            "columns" => match option.types()? {
                CsvTypes::Named(columns) => known.types = CsvTypes::Columns(columns),
                _ => return Err(option.wrong("columns with their types: {'a': 'INTEGER'}")),
            },
            "all_varchar" => known.all_varchar = option.flag()?,
            "skip" => known.skip = option.count()?,
            "dateformat" | "date_format" => known.date_format = Some(option.text()?),
            "timestampformat" | "timestamp_format" => {
                known.timestamp_format = Some(option.text()?);
            }
            "sample_size" => known.sample_rows = option.count()?,
            "hive_partitioning" => known.hive_partitioning = Some(option.flag()?),
            "union_by_name" => known.union_by_name = option.flag()?,
            "filename" => known.filename = option.flag()?,
            "comment" => known.comment = Some(option.text()?).filter(|text| !text.is_empty()),
            "null_padding" => known.null_padding = option.flag()?,
            "ignore_errors" => known.ignore_errors = option.flag()?,
            "compression" => known.compression = Some(option.text()?),
            // What StoaDB does anyway.
            "auto_detect" | "parallel" | "strict_mode" if option.flag()? => {}
            "encoding" if option.text()?.to_ascii_lowercase().replace('-', "") == "utf8" => {}
            "store_rejects" if !option.flag()? => {}
            name => {
                let error = Error::unsupported(format!("the option {name} of CSV files"));
                return Err(error.or_span(option.place));
            }
        }
    }
    Ok(known)
}

/// The options of JSON files; `lines` says that a value stands on each line.
///
/// # Errors
/// `Unsupported` for options that they do not have, `Type` for values of the wrong kind.
pub fn json(options: &[FileOption], lines: bool) -> Result<JsonOptions> {
    let layout = lines.then_some(JsonLayout::Lines);
    let mut known = JsonOptions { layout, ..JsonOptions::default() };
    for option in options {
        match option.name.as_str() {
            "columns" => match option.types()? {
                CsvTypes::Named(columns) => known.columns = Some(columns),
                _ => return Err(option.wrong("columns with their types: {'a': 'INTEGER'}")),
            },
            "format" => {
                known.layout = match option.text()?.to_ascii_lowercase().as_str() {
                    "auto" => layout,
                    "newline_delimited" | "nd" | "ndjson" => Some(JsonLayout::Lines),
                    "array" => Some(JsonLayout::Array),
                    "unstructured" => Some(JsonLayout::Values),
                    _ => {
                        return Err(
                            option.wrong("'auto', 'newline_delimited', 'array' or 'unstructured'")
                        );
                    }
                };
            }
            "compression" => known.compression = Some(option.text()?),
            "dateformat" | "date_format" => known.date_format = Some(option.text()?),
            "timestampformat" | "timestamp_format" => {
                known.timestamp_format = Some(option.text()?);
            }
            "sample_size" => known.sample_rows = option.count()?,
            "hive_partitioning" => known.hive_partitioning = Some(option.flag()?),
            "filename" => known.filename = option.flag()?,
            // What StoaDB does anyway.
            "auto_detect" | "union_by_name" | "convert_strings_to_integers" => {
                let wanted = option.name != "convert_strings_to_integers";
                if option.flag()? != wanted && option.name != "union_by_name" {
                    let what = format!("the option {} of JSON files", option.name);
                    return Err(Error::unsupported(what).or_span(option.place));
                }
            }
            "ignore_errors" if !option.flag()? => {}
            "maximum_object_size" if option.count()? <= 16 << 20 => {}
            name => {
                let error = Error::unsupported(format!("the option {name} of JSON files"));
                return Err(error.or_span(option.place));
            }
        }
    }
    Ok(known)
}

/// The options of Arrow files.
///
/// # Errors
/// As `json`.
pub fn arrow(options: &[FileOption]) -> Result<ArrowOptions> {
    let mut known = ArrowOptions::default();
    for option in options {
        match option.name.as_str() {
            "union_by_name" => known.union_by_name = option.flag()?,
            "filename" => known.filename = option.flag()?,
            name => {
                let error = Error::unsupported(format!("the option {name} of Arrow files"));
                return Err(error.or_span(option.place));
            }
        }
    }
    Ok(known)
}

/// The parts of a text between commas that stand outside of parentheses and quotes.
fn parts(text: &str) -> Vec<&str> {
    let (mut depth, mut quoted, mut start) = (0_usize, false, 0);
    let mut found = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth += 1,
            b')' if !quoted => depth = depth.saturating_sub(1),
            b',' if !quoted && depth == 0 => {
                found.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(text[start..].trim());
    found
}

/// A name up to its closing quote, and what is behind it.
fn quoted_name(text: &str) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            // Two quotes are one of the name.
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

/// `INTEGER[]`, `STRUCT(a INTEGER)`, `MAP(VARCHAR, INTEGER)`.
fn nested_type(name: &str) -> Option<LogicalType> {
    let name = name.trim();
    let field = |name: &str, ty: LogicalType, null| Field::new(name, ty.to_arrow(), null);
    if let Some(item) = name.strip_suffix("[]") {
        return Some(LogicalType::List(Arc::new(field("item", type_named(item)?, true))));
    }
    let (base, arguments) = name.split_once('(')?;
    let arguments = parts(arguments.strip_suffix(')')?);
    match base.trim().to_ascii_uppercase().as_str() {
        "STRUCT" | "ROW" => {
            let one = |part: &str| {
                let (name, ty) = match part.strip_prefix('"') {
                    Some(rest) => quoted_name(rest)?,
                    None => {
                        let (name, ty) = part.split_once(' ')?;
                        (name.to_owned(), ty)
                    }
                };
                Some(field(&name, type_named(ty)?, true))
            };
            let fields = arguments.into_iter().map(one).collect::<Option<Vec<_>>>()?;
            Some(LogicalType::Struct(fields.into()))
        }
        "MAP" => {
            let [key, value] = arguments.as_slice() else { return None };
            let fields = vec![
                field("keys", type_named(key)?, false),
                field("values", type_named(value)?, true),
            ];
            let entries = Field::new("entries", DataType::Struct(fields.into()), false);
            Some(LogicalType::Map(Arc::new(entries), false))
        }
        _ => None,
    }
}

/// The type of a name, of those that texts are read as.
pub fn type_named(name: &str) -> Option<LogicalType> {
    use LogicalType as T;
    if let Some(nested) = nested_type(name) {
        return Some(nested);
    }
    let name = name.trim().to_ascii_uppercase();
    let (base, arguments) = match name.split_once('(') {
        Some((base, rest)) => (base.trim_end(), Some(rest.strip_suffix(')')?)),
        None => (name.as_str(), None),
    };
    Some(match base {
        "DECIMAL" | "NUMERIC" | "DEC" => {
            let mut numbers = arguments.unwrap_or("18,3").split(',').map(str::trim);
            let precision: u8 = numbers.next()?.parse().ok()?;
            let scale: i8 = numbers.next().map_or(Some(0), |scale| scale.parse().ok())?;
            let valid = (1..=38).contains(&precision) && (0..=38).contains(&scale);
            let valid = valid && scale.unsigned_abs() <= precision && numbers.next().is_none();
            return valid.then_some(T::Decimal { precision, scale });
        }
        "VARCHAR" | "CHAR" | "BPCHAR" | "TEXT" | "STRING" => T::Text,
        _ if arguments.is_some() => return None,
        "BOOLEAN" | "BOOL" | "LOGICAL" => T::Boolean,
        "TINYINT" | "INT1" => T::Int8,
        "SMALLINT" | "INT2" | "SHORT" => T::Int16,
        "INTEGER" | "INT" | "INT4" | "SIGNED" => T::Int32,
        "BIGINT" | "INT8" | "LONG" => T::Int64,
        "UTINYINT" => T::UInt8,
        "USMALLINT" => T::UInt16,
        "UINTEGER" => T::UInt32,
        "UBIGINT" => T::UInt64,
        "FLOAT" | "REAL" | "FLOAT4" => T::Float32,
        "DOUBLE" | "DOUBLE PRECISION" | "FLOAT8" => T::Float64,
        "DATE" => T::Date,
        "TIME" => T::Time(TimeUnit::Microsecond),
        "TIMESTAMP" | "DATETIME" | "TIMESTAMP_US" => T::Timestamp(TimeUnit::Microsecond, None),
        "TIMESTAMP_S" => T::Timestamp(TimeUnit::Second, None),
        "TIMESTAMP_MS" => T::Timestamp(TimeUnit::Millisecond, None),
        "TIMESTAMP_NS" => T::Timestamp(TimeUnit::Nanosecond, None),
        "HUGEINT" | "INT128" => T::Decimal { precision: 38, scale: 0 },
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => {
            T::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        _ => return None,
    })
}

/// Whether texts are read as values of a type.
pub fn is_text_type(ty: &LogicalType) -> bool {
    !ty.is_nested() && type_named(&ty.to_string()).as_ref() == Some(ty)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_types_by_name() {
        for name in [
            "BOOLEAN",
            "TINYINT",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "UTINYINT",
            "USMALLINT",
            "UINTEGER",
            "UBIGINT",
            "FLOAT",
            "DOUBLE",
            "VARCHAR",
            "DATE",
            "TIME",
            "TIMESTAMP",
            "TIMESTAMP_S",
            "TIMESTAMP_MS",
            "TIMESTAMP_NS",
            "TIMESTAMP WITH TIME ZONE",
            "DECIMAL(5,2)",
            "DECIMAL(38,0)",
        ] {
            assert_eq!(type_named(name).unwrap().to_string(), name);
            assert!(type_named(&name.to_lowercase()).is_some());
        }
        assert_eq!(type_named("varchar(10)"), Some(LogicalType::Text));
        for name in ["", "INT(", "INT(3)", "DECIMAL(39,0)", "DECIMAL(2,3)", "BLOB", "DECIMAL(x)"] {
            assert_eq!(type_named(name), None, "{name}");
        }
    }
}
