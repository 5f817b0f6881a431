//! The types that SQL and the planner see, apart from how a column is encoded.
//!
//! Invariant: a `LogicalType` says nothing of encodings: there is no dictionary, no large or view variant here.
//! Each has exactly one canonical Arrow type (`LogicalType::to_arrow`), the layout of `Vector::Flat`.
//! Next: `scalar.rs`, `vector.rs`.

use std::{collections::HashSet, fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, FieldRef, Fields, IntervalUnit};

use crate::error::{Result, StorageError};

pub use arrow::datatypes::TimeUnit;

/// The type of a column or an expression.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogicalType {
    /// The type of a bare NULL.
    Null,
    /// TRUE, FALSE.
    Boolean,
    /// TINYINT.
    Int8,
    /// SMALLINT.
    Int16,
    /// INTEGER.
    Int32,
    /// BIGINT.
    Int64,
    /// UTINYINT.
    UInt8,
    /// USMALLINT.
    UInt16,
    /// UINTEGER.
    UInt32,
    /// UBIGINT.
    UInt64,
    /// REAL.
    Float32,
    /// DOUBLE.
    Float64,
    /// DECIMAL(precision, scale), precision at most 38.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// TEXT: valid UTF-8, compared bytewise.
    Text,
    /// BLOB: bytes.
    Blob,
    /// DATE: days since 1970-01-01.
    Date,
    /// TIME of day in the given unit.
    Time(TimeUnit),
    /// TIMESTAMP in the given unit; with a time zone it is an instant shown in that zone.
    Timestamp(TimeUnit, Option<Arc<str>>),
    /// INTERVAL: months, days and nanoseconds, each on its own.
    Interval,
    /// The difference of two timestamps, in the given unit.
    Duration(TimeUnit),
    /// A list of values of one type.
    List(FieldRef),
    /// Named fields.
    Struct(Fields),
    /// Keys and values; the field is the entries struct.
    Map(FieldRef, bool),
}

impl LogicalType {
    /// The logical type that holds values of an Arrow type. Encodings (dictionary, run-end, views, large offsets)
    /// disappear.
    ///
    /// # Errors
    /// `Unsupported` for types without a counterpart (256-bit decimals, unions).
    pub fn from_arrow(ty: &DataType) -> Result<Self> {
        Ok(match ty {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean,
            DataType::Int8 => Self::Int8,
            DataType::Int16 => Self::Int16,
            DataType::Int32 => Self::Int32,
            DataType::Int64 => Self::Int64,
            DataType::UInt8 => Self::UInt8,
            DataType::UInt16 => Self::UInt16,
            DataType::UInt32 => Self::UInt32,
            DataType::UInt64 => Self::UInt64,
            DataType::Float16 | DataType::Float32 => Self::Float32,
            DataType::Float64 => Self::Float64,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
                Self::Decimal { precision: *p, scale: *s }
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text,
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => Self::Blob,
            DataType::Date32 => Self::Date,
            DataType::Date64 => Self::Timestamp(TimeUnit::Millisecond, None),
            DataType::Time32(unit) | DataType::Time64(unit) => Self::Time(*unit),
            DataType::Timestamp(unit, zone) => Self::Timestamp(*unit, zone.clone()),
            DataType::Interval(_) => Self::Interval,
            DataType::Duration(unit) => Self::Duration(*unit),
            DataType::Dictionary(_, value) => Self::from_arrow(value)?,
            DataType::RunEndEncoded(_, value) => Self::from_arrow(value.data_type())?,
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::ListView(field)
            | DataType::LargeListView(field)
            | DataType::FixedSizeList(field, _) => Self::List(canonical_field(field)?),
            DataType::Struct(fields) => {
                Self::Struct(fields.iter().map(canonical_field).collect::<Result<Fields>>()?)
            }
            DataType::Map(entries, sorted) => Self::Map(canonical_field(entries)?, *sorted),
            DataType::Decimal256(..) | DataType::Union(..) => {
                return Err(StorageError::Unsupported(format!("columns of Arrow type {ty}")));
            }
        })
    }

    /// The canonical Arrow type: what `Vector::Flat` holds and what results carry.
    pub fn to_arrow(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Boolean => DataType::Boolean,
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::UInt8 => DataType::UInt8,
            Self::UInt16 => DataType::UInt16,
            Self::UInt32 => DataType::UInt32,
            Self::UInt64 => DataType::UInt64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Self::Text => DataType::Utf8View,
            Self::Blob => DataType::BinaryView,
            Self::Date => DataType::Date32,
            Self::Time(unit @ (TimeUnit::Second | TimeUnit::Millisecond)) => {
                DataType::Time32(*unit)
            }
            Self::Time(unit) => DataType::Time64(*unit),
            Self::Timestamp(unit, zone) => DataType::Timestamp(*unit, zone.clone()),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Duration(unit) => DataType::Duration(*unit),
            Self::List(field) => DataType::List(Arc::clone(field)),
            Self::Struct(fields) => DataType::Struct(fields.clone()),
            Self::Map(entries, sorted) => DataType::Map(Arc::clone(entries), *sorted),
        }
    }

    /// Whether values are whole numbers of up to 64 bits.
    pub fn is_integer(&self) -> bool {
        matches!(
            self,
            Self::Int8
                | Self::Int16
                | Self::Int32
                | Self::Int64
                | Self::UInt8
                | Self::UInt16
                | Self::UInt32
                | Self::UInt64
        )
    }

    /// Whether values are binary floating point numbers.
    pub fn is_float(&self) -> bool {
        matches!(self, Self::Float32 | Self::Float64)
    }

    /// Whether values are numbers.
    pub fn is_numeric(&self) -> bool {
        self.is_integer() || self.is_float() || matches!(self, Self::Decimal { .. })
    }

    /// Whether values are moments or spans of time.
    pub fn is_moment(&self) -> bool {
        matches!(
            self,
            Self::Date | Self::Time(_) | Self::Timestamp(..) | Self::Interval | Self::Duration(_)
        )
    }

    /// Whether values contain other values.
    pub fn is_nested(&self) -> bool {
        matches!(self, Self::List(_) | Self::Struct(_) | Self::Map(..))
    }
}

fn canonical_field(field: &FieldRef) -> Result<FieldRef> {
    let ty = LogicalType::from_arrow(field.data_type())?.to_arrow();
    Ok(Arc::new(Field::new(field.name(), ty, field.is_nullable())))
}

/// The SQL name of the type, as `DESCRIBE` prints it and `CAST` reads it.
impl fmt::Display for LogicalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Null => "NULL",
            Self::Boolean => "BOOLEAN",
            Self::Int8 => "TINYINT",
            Self::Int16 => "SMALLINT",
            Self::Int32 => "INTEGER",
            Self::Int64 => "BIGINT",
            Self::UInt8 => "UTINYINT",
            Self::UInt16 => "USMALLINT",
            Self::UInt32 => "UINTEGER",
            Self::UInt64 => "UBIGINT",
            Self::Float32 => "FLOAT",
            Self::Float64 => "DOUBLE",
            Self::Decimal { precision, scale } => return write!(f, "DECIMAL({precision},{scale})"),
            Self::Text => "VARCHAR",
            Self::Blob => "BLOB",
            Self::Date => "DATE",
            Self::Time(_) => "TIME",
            Self::Timestamp(unit, zone) => match (unit, zone) {
                (_, Some(_)) => "TIMESTAMP WITH TIME ZONE",
                (TimeUnit::Second, None) => "TIMESTAMP_S",
                (TimeUnit::Millisecond, None) => "TIMESTAMP_MS",
                (TimeUnit::Microsecond, None) => "TIMESTAMP",
                (TimeUnit::Nanosecond, None) => "TIMESTAMP_NS",
            },
            Self::Interval | Self::Duration(_) => "INTERVAL",
            Self::List(field) => return write!(f, "{}[]", display_arrow(field.data_type())),
            Self::Struct(fields) => {
                f.write_str("STRUCT(")?;
                for (i, field) in fields.iter().enumerate() {
                    let comma = if i == 0 { "" } else { ", " };
                    write!(f, "{comma}{} {}", field.name(), display_arrow(field.data_type()))?;
                }
                return f.write_str(")");
            }
            Self::Map(entries, _) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return f.write_str("MAP");
                };
                let mut types = fields.iter().map(|field| display_arrow(field.data_type()));
                let key = types.next().unwrap_or_default();
                return write!(f, "MAP({key}, {})", types.next().unwrap_or_default());
            }
        };
        f.write_str(name)
    }
}

fn display_arrow(ty: &DataType) -> String {
    LogicalType::from_arrow(ty).map_or_else(|_| ty.to_string(), |ty| ty.to_string())
}

/// The names of columns, where those that differ from one before in nothing but the case of letters get a number: `a`,
/// `a_1`. For files and formats whose columns are found by name.
///
/// ```
/// assert_eq!(stoadb_storage::distinct_names(["a", "b", "A"]), ["a", "b", "A_1"]);
/// ```
pub fn distinct_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut taken = HashSet::new();
    let distinct = |given: &str| {
        let mut name = given.to_owned();
        let mut number = 0;
        while !taken.insert(name.to_lowercase()) {
            number += 1;
            name = format!("{given}_{number}");
        }
        name
    };
    names.into_iter().map(distinct).collect()
}

/// A named, typed column.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ColumnDef {
    /// The name as it was declared; lookups ignore case.
    pub name: String,
    /// The type of its values.
    pub ty: LogicalType,
    /// Whether it may hold NULL.
    pub nullable: bool,
}

impl ColumnDef {
    /// A column that may hold NULL.
    pub fn new(name: impl Into<String>, ty: LogicalType) -> Self {
        Self { name: name.into(), ty, nullable: true }
    }
}

/// The columns of a relation or of an operator's output, in order. Names may repeat in outputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Schema {
    /// The columns.
    pub columns: Vec<ColumnDef>,
}

impl Schema {
    /// A schema of the given columns.
    pub fn new(columns: Vec<ColumnDef>) -> Self {
        Self { columns }
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The type of a column.
    pub fn ty(&self, column: usize) -> &LogicalType {
        &self.columns[column].ty
    }

    /// The schema of an Arrow schema's values.
    ///
    /// # Errors
    /// `Unsupported`, naming the column whose type has no counterpart.
    pub fn from_arrow(schema: &arrow::datatypes::Schema) -> Result<Self> {
        let column = |field: &FieldRef| {
            let ty = LogicalType::from_arrow(field.data_type()).map_err(|error| {
                StorageError::Unsupported(format!("column '{}': {error}", field.name()))
            })?;
            Ok(ColumnDef { name: field.name().clone(), ty, nullable: field.is_nullable() })
        };
        Ok(Self::new(schema.fields().iter().map(column).collect::<Result<_>>()?))
    }

    /// The Arrow schema with canonical types.
    pub fn to_arrow(&self) -> arrow::datatypes::SchemaRef {
        let field = |c: &ColumnDef| Field::new(&c.name, c.ty.to_arrow(), c.nullable);
        Arc::new(arrow::datatypes::Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }
}
