//! Scalar functions whose types are ours, though the library has some of their names: rounding, dates, bits, division.
//!
//! Invariants: an exact type stays exact: whole numbers stay what they are, decimals stay decimals; a function declared
//! here runs as a kernel of the engine, so that nothing here computes. Next: `hooks.rs`, which makes `divide_op`.

use std::sync::{Arc, LazyLock};

use crate::{
    error::Error,
    functions::{arity_text, result_field, shown},
};
use arrow::datatypes::{DataType, FieldRef, IntervalUnit, TimeUnit};
use datafusion_common::{DataFusionError, Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::{
    ColumnarValue, Expr, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, type_coercion::binary::BinaryTypeCoercer,
};

/// Timestamps as SQL's TIMESTAMP has them.
pub(crate) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

/// Name, other names, least and most arguments.
const NAMES: &[(&str, &[&str], usize, usize)] = &[
    ("floor", &[], 1, 1),
    ("ceil", &["ceiling"], 1, 1),
    ("round", &[], 1, 2),
    ("trunc", &["truncate"], 1, 2),
    ("sign", &["signum"], 1, 1),
    ("date_trunc", &["datetrunc"], 2, 2),
    ("date_diff", &["datediff"], 3, 3),
    ("time_bucket", &[], 2, 3),
    ("date_bin", &[], 3, 3),
    ("last_day", &[], 1, 1),
    ("monthname", &[], 1, 1),
    ("dayname", &[], 1, 1),
    ("make_timestamp", &[], 6, 6),
    ("hex", &[], 1, 1),
    ("isinf", &[], 1, 1),
    ("isfinite", &[], 1, 1),
    ("regexp_extract", &[], 2, 3),
    ("bit_not", &[], 1, 1),
    ("xor", &[], 2, 2),
    (DIVIDE, &[], 2, 2),
    (SIGNED_SUM, &[], 2, usize::MAX),
    (ANY_OF, &[], 1, usize::MAX),
    (ALL_OF, &[], 1, usize::MAX),
    (SAME, &[], 1, 1),
];

/// The division of decimals.
pub(crate) const DIVIDE: &str = "divide_op";

/// The argument itself, which rewrites take for another value.
pub(crate) const SAME: &str = "same_op";

/// A long chain of `+` and `-`: a text of signs, and the terms.
pub(crate) const SIGNED_SUM: &str = "signed_sum_op";

/// A long chain of OR.
pub(crate) const ANY_OF: &str = "any_of_op";

/// A long chain of AND.
pub(crate) const ALL_OF: &str = "all_of_op";

/// The functions of this file.
pub(super) fn scalars() -> impl Iterator<Item = Arc<ScalarUDF>> {
    NAMES.iter().map(|&(name, aliases, least, most)| {
        Arc::new(ScalarUDF::new_from_impl(Scalar {
            name,
            aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
            least,
            most,
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    })
}

/// A call of `SAME`.
pub(super) fn same(expr: Expr) -> Expr {
    static FUNCTION: LazyLock<Option<Arc<ScalarUDF>>> =
        LazyLock::new(|| scalars().find(|function| function.name() == SAME));
    match &*FUNCTION {
        Some(function) => function.call(vec![expr]),
        None => expr,
    }
}

/// How many digits after the point a quotient of decimals or an average has: as many as the dividend, at least 16 where
/// the digits before the point leave room, at least 10 in any case.
pub(super) fn quotient_scale(whole: i16, scale: i8) -> i8 {
    let most = i16::from(scale.max(16));
    i8::try_from((38 - whole).clamp(10, most)).unwrap_or(10)
}

/// Precision and scale of a decimal, or of the decimal that holds an integer type.
pub(super) fn digits(ty: &DataType) -> Option<(u8, i8)> {
    Some(match ty {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            (*p, *s)
        }
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        _ => return None,
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Scalar {
    name: &'static str,
    aliases: Vec<String>,
    least: usize,
    most: usize,
    signature: Signature,
}

fn is_text(ty: &DataType) -> bool {
    matches!(ty, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null)
}

impl Scalar {
    fn refuse(&self, what: &str, ty: &DataType) -> Result<DataType> {
        plan_err!("{}() needs {what}, not {}", self.name, shown(ty))
    }

    /// The type that an argument is cast to.
    fn coerce(&self, position: usize, ty: &DataType) -> Result<DataType> {
        let or = |fits: bool, wanted: DataType, what: &str| match fits {
            true => Ok(wanted),
            false => self.refuse(what, ty),
        };
        let integer =
            |least: DataType| or(ty.is_integer() || ty.is_null(), least, "a whole number");
        match (self.name, position) {
            ("floor" | "ceil" | "round" | "trunc" | "sign", 0) => match ty {
                DataType::Null => Ok(DataType::Float64),
                DataType::Float16 => Ok(DataType::Float32),
                _ => or(ty.is_numeric(), ty.clone(), "a number"),
            },
            ("round" | "trunc", _) => integer(DataType::Int64),
            ("date_trunc" | "date_diff", 0) => {
                or(is_text(ty), DataType::Utf8View, "the name of a part, such as 'month'")
            }
            ("time_bucket" | "date_bin", 0) => match ty {
                DataType::Interval(_) => Ok(ty.clone()),
                _ => or(is_text(ty), INTERVAL, "a width such as INTERVAL '15 minutes'"),
            },
            ("date_trunc", 1) | ("time_bucket", 2) if matches!(ty, DataType::Interval(_)) => {
                Ok(ty.clone())
            }
            (
                "date_trunc" | "last_day" | "monthname" | "dayname" | "time_bucket" | "date_bin",
                _,
            ) => match ty {
                DataType::Date32 | DataType::Timestamp(..) => Ok(ty.clone()),
                _ => or(is_text(ty), TIMESTAMP, "a date or a timestamp"),
            },
            ("date_diff", _) => {
                let moment = matches!(ty, DataType::Date32 | DataType::Timestamp(..));
                or(moment || is_text(ty), TIMESTAMP, "a date or a timestamp")
            }
            ("make_timestamp", 5) => {
                or(ty.is_numeric() || ty.is_null(), DataType::Float64, "a number of seconds")
            }
            ("make_timestamp", _) | ("regexp_extract", 2) => integer(DataType::Int64),
            ("hex", _) if ty.is_integer() => Ok(DataType::Int64),
            ("hex", _) if matches!(ty, DataType::BinaryView | DataType::Binary) => Ok(ty.clone()),
            ("hex", _) => or(is_text(ty), DataType::Utf8View, "a text, a blob or an integer"),
            ("isinf" | "isfinite", _) => {
                let float = if ty.is_floating() { ty.clone() } else { DataType::Float64 };
                or(ty.is_numeric() || ty.is_null(), float, "a number")
            }
            ("regexp_extract", _) => or(is_text(ty), DataType::Utf8View, "a text"),
            ("bit_not", _) => match ty {
                DataType::Null => Ok(DataType::Int64),
                _ => integer(ty.clone()),
            },
            ("xor", _) => integer(DataType::Int64),
            (ANY_OF | ALL_OF, _) => or(
                matches!(ty, DataType::Boolean | DataType::Null),
                DataType::Boolean,
                "conditions",
            ),
            _ => Ok(ty.clone()),
        }
    }

    fn result(&self, types: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
        let first = types.first().cloned().unwrap_or(DataType::Null);
        Ok(match self.name {
            "floor" | "ceil" | "round" | "trunc" | "sign" => match first {
                DataType::Decimal128(precision, scale) => {
                    let places = match (self.name, constants) {
                        ("sign", _) => return Ok(DataType::Decimal128(1, 0)),
                        (_, [_]) => 0,
                        // Places that differ from row to row keep all digits.
                        (_, [_, places, ..]) => match places {
                            Some(ScalarValue::Int64(Some(places))) => {
                                i8::try_from((*places).clamp(0, scale.max(0).into())).unwrap_or(0)
                            }
                            _ => scale,
                        },
                        _ => 0,
                    };
                    let whole = i16::from(precision) - i16::from(scale) + 1;
                    let digits = (whole + i16::from(places)).clamp(1, 38);
                    DataType::Decimal128(u8::try_from(digits).unwrap_or(38), places)
                }
                other => other,
            },
            "date_trunc" => match types.get(1) {
                Some(kept @ (DataType::Timestamp(..) | DataType::Interval(_))) => kept.clone(),
                _ => TIMESTAMP,
            },
            "time_bucket" | "date_bin" => types.get(1).cloned().unwrap_or(TIMESTAMP),
            "date_diff" => DataType::Int64,
            "last_day" => DataType::Date32,
            "monthname" | "dayname" | "hex" | "regexp_extract" => DataType::Utf8View,
            "make_timestamp" => TIMESTAMP,
            "isinf" | "isfinite" | ANY_OF | ALL_OF => DataType::Boolean,
            DIVIDE => {
                let (Some((p1, s1)), Some((_, s2))) =
                    (digits(&first), types.get(1).and_then(digits))
                else {
                    return plan_err!("a quotient of numbers that are not decimal");
                };
                let whole = i16::from(p1) - i16::from(s1) + i16::from(s2);
                DataType::Decimal128(38, quotient_scale(whole, s1))
            }
            SIGNED_SUM => return sum_type(types.get(1..).unwrap_or_default()),
            _ => first,
        })
    }
}

/// Gives a moment and the origin of its buckets one type: that of the moment, but a timestamp where one of them is.
fn same_moments(coerced: &mut [DataType], given: &[DataType]) {
    let [_, moment, origin] = coerced else { return };
    match (&*moment, &*origin) {
        (_, DataType::Interval(_)) => {}
        (DataType::Date32, DataType::Timestamp(..)) if !is_text(&given[2]) => {
            *moment = origin.clone();
        }
        _ => *origin = moment.clone(),
    }
}

/// The type of a sum of numbers: a decimal has digits for thousands of terms.
fn sum_type(types: &[DataType]) -> Result<DataType> {
    if let Some(other) = types.iter().find(|ty| !ty.is_numeric() && !ty.is_null()) {
        let what = format!("more than 256 additions and subtractions with a {}", shown(other));
        return Err(DataFusionError::External(Box::new(Error::unsupported(what))));
    }
    let floating = types.iter().any(DataType::is_floating);
    let decimals = types.iter().any(DataType::is_decimal);
    if floating && decimals {
        return Ok(DataType::Float64);
    }
    if decimals {
        let (mut whole, mut most_scale) = (0, 0);
        for (precision, scale) in types.iter().filter_map(digits) {
            whole = whole.max(i16::from(precision) - i16::from(scale));
            most_scale = most_scale.max(scale);
        }
        let digits = (whole + 5 + i16::from(most_scale)).clamp(1, 38);
        return Ok(DataType::Decimal128(u8::try_from(digits).unwrap_or(38), most_scale));
    }
    let mut common = DataType::Null;
    for ty in types.iter().filter(|ty| !ty.is_null()) {
        common = match common {
            DataType::Null => ty.clone(),
            known if known == *ty => known,
            known => BinaryTypeCoercer::new(&known, &Operator::Plus, ty).get_result_type()?,
        };
    }
    Ok(if common.is_null() { DataType::Int64 } else { common })
}

impl ScalarUDFImpl for Scalar {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<String> = args.iter().map(|arg| arg.schema_name().to_string()).collect();
        Ok(match (self.name, args.as_slice()) {
            (DIVIDE, [dividend, divisor]) => format!("{dividend} / {divisor}"),
            ("bit_not", [arg]) => format!("~{arg}"),
            (name, args) => format!("{name}({})", args.join(",")),
        })
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if types.len() < self.least || types.len() > self.most {
            return plan_err!("{}", arity_text(self.name, (self.least, self.most), types.len()));
        }
        let coerced = types.iter().enumerate().map(|(position, ty)| self.coerce(position, ty));
        let mut coerced = coerced.collect::<Result<Vec<_>>>()?;
        if matches!(self.name, "time_bucket" | "date_bin") {
            same_moments(&mut coerced, types);
        }
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.result(types, &vec![None; types.len()])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        result_field(self.name, &args, |types, constants| self.result(types, constants))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match (self.name, args.args.first()) {
            ("date_trunc" | "date_diff", Some(ColumnarValue::Scalar(part))) => {
                exec_err!("there is no part '{part}' to count by, as in 'year', 'month' or 'day'")
            }
            ("date_trunc" | "date_diff", _) => {
                exec_err!("the name of the part must be a constant, such as 'month'")
            }
            _ => exec_err!("these arguments are not supported"),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::Field;

    use super::*;

    fn result(name: &str, args: &[DataType], places: Option<i64>) -> DataType {
        let function = scalars().find(|function| function.name() == name).unwrap();
        let args = function.coerce_types(args).unwrap();
        let places = places.map(|places| ScalarValue::Int64(Some(places)));
        let mut constants = vec![None, places.as_ref()];
        constants.resize(args.len().max(2), None);
        let fields: Vec<FieldRef> =
            args.iter().map(|ty| Arc::new(Field::new("", ty.clone(), true)) as _).collect();
        let args =
            ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &constants[..args.len()] };
        function.return_field_from_args(args).unwrap().data_type().clone()
    }

    #[test]
    fn test_exact_types_stay_exact() {
        use DataType::{Date32, Decimal128, Float64, Int16, Int64};
        assert_eq!(result("floor", &[Decimal128(5, 2)], None), Decimal128(4, 0));
        assert_eq!(result("round", &[Decimal128(5, 3), Int64], Some(2)), Decimal128(5, 2));
        assert_eq!(result("round", &[Decimal128(5, 3), Int64], Some(9)), Decimal128(6, 3));
        assert_eq!(result("round", &[Decimal128(5, 3), Int64], Some(-1)), Decimal128(3, 0));
        assert_eq!(result("round", &[Decimal128(5, 3), Int64], None), Decimal128(6, 3));
        assert_eq!(result("sign", &[Int16], None), Int16);
        assert_eq!(result("ceil", &[Float64], None), Float64);
        assert_eq!(result("date_trunc", &[DataType::Utf8View, Date32], None), TIMESTAMP);
    }

    #[test]
    fn test_quotients_have_sixteen_digits_where_they_fit() {
        use DataType::{Decimal128, Int64};
        assert_eq!(result(DIVIDE, &[Decimal128(15, 2), Int64], None), Decimal128(38, 16));
        assert_eq!(
            result(DIVIDE, &[Decimal128(38, 4), Decimal128(38, 4)], None),
            Decimal128(38, 10)
        );
        assert_eq!(result(DIVIDE, &[Int64, Decimal128(9, 2)], None), Decimal128(38, 16));
    }

    #[test]
    fn test_sums_hold_thousands_of_terms() {
        use DataType::{Decimal128, Float64, Int32, Int64, Null, UInt8, Utf8};
        let sum = |types: &[DataType]| result(SIGNED_SUM, &[&[Utf8], types].concat(), None);
        assert_eq!(sum(&[Int32, UInt8, Null]), Int32);
        assert_eq!(sum(&[Int32, Int64]), Int64);
        assert_eq!(sum(&[Null, Null]), Int64);
        assert_eq!(sum(&[Decimal128(10, 2), Int64, Decimal128(5, 4)]), Decimal128(28, 4));
        assert_eq!(sum(&[Decimal128(10, 2), Float64]), Float64);
        let error = sum_type(&[DataType::Date32, Int64]).unwrap_err().to_string();
        assert!(error.contains("DATE"), "{error}");
    }
}
