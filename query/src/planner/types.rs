//! SQL type names.
//!
//! Invariant: TIMESTAMP without precision counts microseconds.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion_common::{DataFusionError, Result, not_impl_err, plan_err};
use datafusion_expr::planner::TypePlanner;
use datafusion_sql::sqlparser::ast::{
    ArrayElemTypeDef, DataType as SqlType, ExactNumberInfo, StructField, TimezoneInfo,
};

use crate::{
    error::{Error, ErrorKind},
    planner::diagnose::closest,
    sql::file_options::type_named,
};

/// Names that may be meant where there is no type of a name.
const NAMES: [&str; 24] = [
    "BIGINT",
    "BLOB",
    "BOOLEAN",
    "DATE",
    "DATETIME",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "HUGEINT",
    "INTEGER",
    "INTERVAL",
    "JSON",
    "NUMERIC",
    "SMALLINT",
    "STRING",
    "TEXT",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "TINYINT",
    "UBIGINT",
    "UINTEGER",
    "UUID",
    "VARCHAR",
];

/// SQL type names.
#[derive(Debug)]
pub struct StoaTypes {
    /// The zone of TIMESTAMP WITH TIME ZONE.
    pub time_zone: Option<String>,
}

impl StoaTypes {
    /// A type within another one.
    fn part(&self, ty: &SqlType) -> Result<DataType> {
        if let SqlType::Array(ArrayElemTypeDef::SquareBracket(item, None)) = ty {
            return Ok(DataType::List(Arc::new(Field::new("item", self.part(item)?, true))));
        }
        if let Some(ty) = self.plan(ty)? {
            return Ok(ty);
        }
        match type_named(&ty.to_string()) {
            Some(ty) => Ok(ty.to_arrow()),
            None => match ty {
                SqlType::Custom(..) => Err(no_type(&ty.to_string())),
                _ => not_impl_err!("the type {ty}"),
            },
        }
    }

    fn plan(&self, ty: &SqlType) -> Result<Option<DataType>> {
        Ok(Some(match ty {
            SqlType::Struct(fields, _) => {
                let field = |field: &StructField| match &field.field_name {
                    Some(name) => Ok(Field::new(&name.value, self.part(&field.field_type)?, true)),
                    None => {
                        plan_err!("a field of a STRUCT has a name and a type: STRUCT(a INTEGER)")
                    }
                };
                DataType::Struct(fields.iter().map(field).collect::<Result<_>>()?)
            }
            SqlType::Map(key, value) => {
                let key = Field::new("keys", self.part(key)?, false);
                let value = Field::new("values", self.part(value)?, true);
                let entries = DataType::Struct(vec![key, value].into());
                DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
            }
            SqlType::Timestamp(precision, zone) => {
                let zoned = matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone);
                let zone = zoned.then(|| self.time_zone.as_deref().unwrap_or("UTC").into());
                DataType::Timestamp(unit(*precision)?, zone)
            }
            SqlType::TimestampNtz(precision) => DataType::Timestamp(unit(*precision)?, None),
            SqlType::Datetime(precision) => DataType::Timestamp(unit(*precision)?, None),
            SqlType::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                match unit(*precision)? {
                    unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
                    unit => DataType::Time64(unit),
                }
            }
            SqlType::Interval { fields: None, precision: None } => {
                DataType::Interval(IntervalUnit::MonthDayNano)
            }
            SqlType::Bytea
            | SqlType::Blob(None)
            | SqlType::Varbinary(None)
            | SqlType::Binary(None) => DataType::BinaryView,
            SqlType::Uuid | SqlType::JSON | SqlType::JSONB => DataType::Utf8View,
            SqlType::Bit(_) | SqlType::BitVarying(_) | SqlType::VarBit(_) => {
                return not_impl_err!("the type BIT");
            }
            SqlType::UHugeInt => return not_impl_err!("the type UHUGEINT"),
            SqlType::HugeInt => DataType::Decimal128(38, 0),
            SqlType::UTinyInt => DataType::UInt8,
            SqlType::USmallInt => DataType::UInt16,
            SqlType::UBigInt => DataType::UInt64,
            SqlType::Float64 => DataType::Float64,
            SqlType::Float32 => DataType::Float32,
            SqlType::Int8(None) => DataType::Int64,
            SqlType::Decimal(
                ExactNumberInfo::Precision(digits) | ExactNumberInfo::PrecisionAndScale(digits, _),
            )
            | SqlType::Numeric(
                ExactNumberInfo::Precision(digits) | ExactNumberInfo::PrecisionAndScale(digits, _),
            ) if *digits > 38 => {
                return plan_err!("a DECIMAL has at most 38 digits, not {digits}");
            }
            SqlType::Decimal(ExactNumberInfo::None) | SqlType::Numeric(ExactNumberInfo::None) => {
                DataType::Decimal128(18, 3)
            }
            SqlType::Dec(ExactNumberInfo::None) => DataType::Decimal128(18, 3),
            SqlType::Dec(_) => match type_named(&ty.to_string()) {
                Some(ty) => ty.to_arrow(),
                None => return not_impl_err!("the type {ty}"),
            },
            SqlType::Custom(name, args) => {
                if name.to_string().eq_ignore_ascii_case("map")
                    && let [key, value] = args.as_slice()
                    && let Some(ty) = type_named(&format!("MAP({key}, {value})"))
                {
                    return Ok(Some(ty.to_arrow()));
                }
                let name = name.to_string().to_ascii_lowercase();
                match (name.as_str(), args.is_empty()) {
                    ("hugeint", true) => DataType::Decimal128(38, 0),
                    ("utinyint", true) => DataType::UInt8,
                    ("usmallint", true) => DataType::UInt16,
                    ("uinteger" | "uint", true) => DataType::UInt32,
                    ("ubigint", true) => DataType::UInt64,
                    ("int1", true) => DataType::Int8,
                    ("short" | "int2", true) => DataType::Int16,
                    ("signed" | "int4" | "int32", true) => DataType::Int32,
                    ("int64", true) => DataType::Int64,
                    ("uint8", true) => DataType::UInt8,
                    ("uint16", true) => DataType::UInt16,
                    ("uint32", true) => DataType::UInt32,
                    ("uint64", true) => DataType::UInt64,
                    ("logical", true) => DataType::Boolean,
                    ("string" | "bpchar", true) => DataType::Utf8View,
                    ("long", true) => DataType::Int64,
                    ("timestamp_s", true) => DataType::Timestamp(TimeUnit::Second, None),
                    ("timestamp_ms", true) => DataType::Timestamp(TimeUnit::Millisecond, None),
                    ("timestamp_us", true) => DataType::Timestamp(TimeUnit::Microsecond, None),
                    ("timestamp_ns", true) => DataType::Timestamp(TimeUnit::Nanosecond, None),
                    _ => return Err(no_type(&ty.to_string())),
                }
            }
            _ => return Ok(None),
        }))
    }
}

fn unit(precision: Option<u64>) -> Result<TimeUnit> {
    match precision {
        Some(0) => Ok(TimeUnit::Second),
        Some(1..=3) => Ok(TimeUnit::Millisecond),
        None | Some(4..=6) => Ok(TimeUnit::Microsecond),
        Some(7..=9) => Ok(TimeUnit::Nanosecond),
        Some(more) => plan_err!("a time has at most 9 digits after the second, not {more}"),
    }
}

impl TypePlanner for StoaTypes {
    fn plan_type_field(&self, ty: &SqlType) -> Result<Option<FieldRef>> {
        Ok(self.plan(ty)?.map(|ty| Arc::new(Field::new("", ty, true))))
    }
}

/// The error about a name that no type has.
fn no_type(name: &str) -> DataFusionError {
    let name = name.to_ascii_uppercase();
    let error = Error::new(ErrorKind::Type, format!("there is no type {name}"));
    DataFusionError::External(Box::new(match closest(&name, NAMES.into_iter()) {
        Some(meant) => error.with_hint(format!("did you mean {meant}?")),
        None => error,
    }))
}
