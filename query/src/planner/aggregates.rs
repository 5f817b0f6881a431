//! Aggregate functions as the planner library sees them: names, argument types and result types, nothing that runs.
//!
//! Invariant: every `AggregateFunction` of the engine that has a SQL name is declared here once, and `aggregate_function`
//! finds it again from the declared name. Result types: `count` and the sum of integers are BIGINT; the sum of
//! DECIMAL(p,s) is DECIMAL(38,s); the average of integers and floats is DOUBLE, that of DECIMAL(p,s) is
//! DECIMAL(38, q) with 16 digits after the point where they fit (`scalars.rs`), without a detour over binary fractions;
//! interpolated quantiles and medians of numbers are DOUBLE.
//! Next: `windows.rs`.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{Result, ScalarValue, not_impl_err, plan_err};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
    function::AccumulatorArgs,
};
use stoadb_engine::plan::AggregateFunction;

use crate::planner::scalars::quotient_scale;

use AggregateFunction as F;

/// The declared name, the function and its other names.
const NAMES: &[(&str, AggregateFunction, &[&str])] = &[
    ("count", F::Count, &[]),
    ("sum", F::Sum, &[]),
    ("avg", F::Avg, &["mean"]),
    ("min", F::Min, &[]),
    ("max", F::Max, &[]),
    ("var_samp", F::VarSamp, &["variance", "var"]),
    ("var_pop", F::VarPop, &[]),
    ("stddev_samp", F::StddevSamp, &["stddev"]),
    ("stddev_pop", F::StddevPop, &[]),
    ("bool_and", F::BoolAnd, &["every"]),
    ("bool_or", F::BoolOr, &[]),
    ("bit_and", F::BitAnd, &[]),
    ("bit_or", F::BitOr, &[]),
    ("bit_xor", F::BitXor, &[]),
    ("any_value", F::AnyValue, &["arbitrary"]),
    ("first_value", F::First, &["first"]),
    ("last_value", F::Last, &["last"]),
    ("arg_min", F::ArgMin, &["min_by", "argmin"]),
    ("arg_max", F::ArgMax, &["max_by", "argmax"]),
    ("median", F::Median, &[]),
    ("quantile_cont", F::QuantileCont, &["percentile_cont"]),
    ("quantile_disc", F::QuantileDisc, &["percentile_disc", "quantile"]),
    ("mode", F::Mode, &[]),
    ("string_agg", F::StringAgg, &["group_concat", "listagg"]),
    ("list", F::List, &["array_agg"]),
    ("product", F::Product, &[]),
    ("corr", F::Corr, &[]),
    ("covar_samp", F::CovarSamp, &[]),
    ("covar_pop", F::CovarPop, &[]),
    ("single_value", F::SingleValue, &[]),
];

/// The engine's function of a declared name (`AggregateUDF::name`).
pub fn aggregate_function(name: &str) -> Option<AggregateFunction> {
    NAMES.iter().find(|(declared, ..)| *declared == name).map(|(_, function, _)| *function)
}

/// Whether the arguments of `count` make it `count(*)`: none, or one constant that is not NULL.
pub fn is_count_star(args: &[Expr]) -> bool {
    match args {
        [] => true,
        [Expr::Literal(value, _)] => !value.is_null(),
        _ => false,
    }
}

/// All aggregate functions, `grouping` included.
pub fn aggregate_udfs() -> Vec<Arc<AggregateUDF>> {
    let declared = NAMES.iter().map(|(name, function, aliases)| Aggregate {
        name,
        function: Some(*function),
        aliases: aliases.iter().map(|&alias| alias.to_owned()).collect(),
        signature: Signature::user_defined(Volatility::Immutable),
    });
    // The analyzer replaces `grouping` before anything runs.
    let grouping = Aggregate {
        name: "grouping",
        function: None,
        aliases: Vec::new(),
        signature: Signature::variadic_any(Volatility::Immutable),
    };
    declared
        .chain(std::iter::once(grouping))
        .map(|function| Arc::new(AggregateUDF::new_from_impl(function)))
        .collect()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Aggregate {
    name: &'static str,
    /// None for `grouping`.
    function: Option<AggregateFunction>,
    aliases: Vec<String>,
    signature: Signature,
}

impl Aggregate {
    /// How many arguments it takes.
    fn arity(&self) -> (usize, usize) {
        match self.function {
            Some(F::Count) | None => (1, usize::MAX),
            Some(
                F::ArgMin
                | F::ArgMax
                | F::QuantileCont
                | F::QuantileDisc
                | F::Corr
                | F::CovarSamp
                | F::CovarPop,
            ) => (2, 2),
            Some(F::StringAgg) => (1, 2),
            Some(_) => (1, 1),
        }
    }

    fn refuse(&self, what: &str, ty: &DataType) -> Result<DataType> {
        plan_err!("{}() needs {what}, not {}", self.name, display_type(ty))
    }

    /// The type that an argument is cast to.
    fn coerce(&self, position: usize, ty: &DataType) -> Result<DataType> {
        let number = ty.is_numeric() || ty.is_null();
        match (self.function, position) {
            (Some(F::Sum | F::Avg), _)
                if matches!(ty, DataType::Interval(_) | DataType::Duration(_)) =>
            {
                Ok(ty.clone())
            }
            (Some(F::Sum | F::Avg), _) if ty.is_null() => Ok(DataType::Int64),
            (Some(F::Sum | F::Avg | F::VarSamp | F::VarPop | F::StddevSamp | F::StddevPop), _) => {
                match ty {
                    DataType::Null => Ok(DataType::Float64),
                    DataType::Float16 => Ok(DataType::Float32),
                    _ if number => Ok(ty.clone()),
                    _ => self.refuse("a number", ty),
                }
            }
            (Some(F::Product | F::Corr | F::CovarSamp | F::CovarPop), _) if number => {
                Ok(DataType::Float64)
            }
            (Some(F::Product | F::Corr | F::CovarSamp | F::CovarPop), _) => {
                self.refuse("numbers", ty)
            }
            (Some(F::BoolAnd | F::BoolOr), _) => match ty {
                DataType::Boolean | DataType::Null => Ok(DataType::Boolean),
                _ => self.refuse("a boolean", ty),
            },
            (Some(F::BitAnd | F::BitOr | F::BitXor), _) => match ty {
                DataType::Null => Ok(DataType::Int64),
                _ if ty.is_integer() => Ok(ty.clone()),
                _ => self.refuse("an integer", ty),
            },
            (Some(F::QuantileCont | F::QuantileDisc), 1) => {
                if number {
                    Ok(DataType::Float64)
                } else {
                    self.refuse("a fraction from 0 to 1", ty)
                }
            }
            (Some(F::StringAgg), _) if ty.is_nested() => self.refuse("texts", ty),
            (Some(F::StringAgg), _) => Ok(DataType::Utf8View),
            _ => Ok(ty.clone()),
        }
    }
}

fn display_type(ty: &DataType) -> String {
    stoadb_storage::LogicalType::from_arrow(ty).map_or_else(|_| ty.to_string(), |ty| ty.to_string())
}

impl AggregateUDFImpl for Aggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        let first = args.first().cloned().unwrap_or(DataType::Null);
        Ok(match self.function {
            None => DataType::Int32,
            Some(F::Count | F::CountStar) => DataType::Int64,
            Some(F::Sum) => match first {
                DataType::Decimal32(_, s)
                | DataType::Decimal64(_, s)
                | DataType::Decimal128(_, s) => DataType::Decimal128(38, s),
                DataType::Interval(_) | DataType::Duration(_) => first,
                _ if first.is_floating() => DataType::Float64,
                _ => DataType::Int64,
            },
            Some(F::Avg) => match first {
                DataType::Decimal32(p, s)
                | DataType::Decimal64(p, s)
                | DataType::Decimal128(p, s) => {
                    DataType::Decimal128(38, quotient_scale(i16::from(p) - i16::from(s), s))
                }
                DataType::Interval(_) | DataType::Duration(_) => first,
                _ => DataType::Float64,
            },
            Some(
                F::VarSamp
                | F::VarPop
                | F::StddevSamp
                | F::StddevPop
                | F::Product
                | F::Corr
                | F::CovarSamp
                | F::CovarPop,
            ) => DataType::Float64,
            Some(F::Median | F::QuantileCont) if first.is_numeric() => DataType::Float64,
            Some(F::List) => DataType::new_list(first, true),
            Some(_) => first,
        })
    }

    fn is_nullable(&self) -> bool {
        !matches!(self.function, None | Some(F::Count))
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        let (least, most) = self.arity();
        if args.len() < least || args.len() > most {
            let expected = match (least, most) {
                (1, 1) => "one argument".to_owned(),
                (2, 2) => "two arguments".to_owned(),
                (least, usize::MAX) => format!("at least {least} argument"),
                (least, most) => format!("{least} to {most} arguments"),
            };
            return plan_err!("{}() takes {expected}, not {}", self.name, args.len());
        }
        args.iter().enumerate().map(|(position, ty)| self.coerce(position, ty)).collect()
    }

    fn default_value(&self, ty: &DataType) -> Result<ScalarValue> {
        match self.function {
            Some(F::Count) => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(ty),
        }
    }

    fn supports_within_group_clause(&self) -> bool {
        matches!(self.function, Some(F::QuantileCont | F::QuantileDisc | F::Mode))
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        not_impl_err!("{}() outside of the engine", self.name)
    }

    fn return_field(&self, args: &[FieldRef]) -> Result<FieldRef> {
        let types: Vec<DataType> = args.iter().map(|field| field.data_type().clone()).collect();
        let ty = self.return_type(&types)?;
        Ok(Arc::new(arrow::datatypes::Field::new(self.name, ty, self.is_nullable())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_every_declared_name_is_found_again() {
        for function in aggregate_udfs() {
            assert_eq!(
                aggregate_function(function.name()).is_none(),
                function.name() == "grouping"
            );
        }
        let mut names: Vec<_> =
            NAMES.iter().flat_map(|(n, _, a)| std::iter::once(n).chain(*a)).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all, "a name is declared twice");
    }

    #[test]
    fn test_result_types() {
        let result = |name: &str, args: &[DataType]| {
            let function = aggregate_udfs().into_iter().find(|f| f.name() == name).unwrap();
            let args = function.coerce_types(args).unwrap();
            function.return_type(&args).unwrap()
        };
        assert_eq!(result("sum", &[DataType::Int32]), DataType::Int64);
        assert_eq!(result("sum", &[DataType::Decimal128(15, 2)]), DataType::Decimal128(38, 2));
        assert_eq!(result("avg", &[DataType::Int64]), DataType::Float64);
        assert_eq!(result("avg", &[DataType::Decimal128(15, 2)]), DataType::Decimal128(38, 16));
        assert_eq!(result("avg", &[DataType::Decimal128(38, 2)]), DataType::Decimal128(38, 10));
        assert_eq!(result("avg", &[DataType::Decimal128(38, 36)]), DataType::Decimal128(38, 36));
        assert_eq!(result("max", &[DataType::Utf8View]), DataType::Utf8View);
        assert_eq!(result("median", &[DataType::Date32]), DataType::Date32);
        let sum = aggregate_udfs().into_iter().find(|f| f.name() == "sum").unwrap();
        assert!(sum.coerce_types(&[DataType::Utf8View]).is_err());
        assert!(sum.coerce_types(&[DataType::Int64, DataType::Int64]).is_err());
    }
}
