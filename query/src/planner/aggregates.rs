//! Aggregate functions as the planner library sees them: names, argument types and result types, nothing that runs.
//!
//! Invariant: every `AggregateFunction` of the engine that has a SQL name is declared here, and `aggregate_function`
//! finds it again from the declared name. Result types: `count` and the sum of integers are BIGINT; the sum of
//! DECIMAL(p,s) is DECIMAL(38,s); the average of integers and floats is DOUBLE, that of DECIMAL(p,s) is
//! DECIMAL(38, q) with 16 digits after the point where they fit (`scalars.rs`), without a detour over binary fractions;
//! interpolated quantiles and medians of numbers are DOUBLE, those of dates TIMESTAMP.
//! Next: `windows.rs`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit};
use datafusion_common::{Result, ScalarValue, not_impl_err, plan_err};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
    function::AccumulatorArgs,
};
use stoadb_engine::plan::AggregateFunction;

use crate::planner::scalars::{TIMESTAMP, quotient_scale};

use AggregateFunction as F;

/// The sum of numbers as doubles.
const FLOAT_SUM: &str = "fsum";

/// The average of numbers as doubles.
const FLOAT_AVG: &str = "favg";

/// How often a condition is TRUE; NULL where it is never TRUE or FALSE. The sum of a boolean, which it keeps until it is
/// lowered, so that numbers are refused.
pub(crate) const COUNT_IF: &str = "count_if";

/// The declared name, the function and its other names. One function may have several declarations.
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
    ("sem", F::Sem, &[]),
    ("skewness", F::Skewness, &[]),
    ("kurtosis", F::Kurtosis, &[]),
    ("kurtosis_pop", F::KurtosisPop, &[]),
    (FLOAT_SUM, F::Sum, &["kahan_sum", "sumkahan"]),
    (FLOAT_AVG, F::Avg, &[]),
    (COUNT_IF, F::Sum, &["countif"]),
    ("geometric_mean", F::GeometricMean, &["geomean"]),
    ("weighted_avg", F::WeightedAvg, &["wavg"]),
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
    ("arg_min_null", F::ArgMinNull, &[]),
    ("arg_max_null", F::ArgMaxNull, &[]),
    ("median", F::Median, &["approx_median"]),
    ("quantile_cont", F::QuantileCont, &["percentile_cont"]),
    ("quantile_disc", F::QuantileDisc, &["percentile_disc", "quantile"]),
    ("approx_quantile", F::QuantileDisc, &["approx_percentile_cont"]),
    ("mad", F::Mad, &[]),
    ("mode", F::Mode, &[]),
    ("entropy", F::Entropy, &[]),
    ("histogram", F::Histogram, &[]),
    ("approx_top_k", F::ApproxTopK, &[]),
    ("approx_count_distinct", F::ApproxCountDistinct, &["approx_distinct"]),
    ("string_agg", F::StringAgg, &["group_concat", "listagg"]),
    ("list", F::List, &["array_agg"]),
    ("product", F::Product, &[]),
    ("corr", F::Corr, &[]),
    ("covar_samp", F::CovarSamp, &[]),
    ("covar_pop", F::CovarPop, &[]),
    ("regr_count", F::RegrCount, &[]),
    ("regr_avgx", F::RegrAvgX, &[]),
    ("regr_avgy", F::RegrAvgY, &[]),
    ("regr_sxx", F::RegrSxx, &[]),
    ("regr_syy", F::RegrSyy, &[]),
    ("regr_sxy", F::RegrSxy, &[]),
    ("regr_slope", F::RegrSlope, &[]),
    ("regr_intercept", F::RegrIntercept, &[]),
    ("regr_r2", F::RegrR2, &[]),
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
            Some(F::ArgMin | F::ArgMax) => (2, 3),
            Some(
                F::ArgMinNull
                | F::ArgMaxNull
                | F::QuantileCont
                | F::QuantileDisc
                | F::ApproxTopK
                | F::WeightedAvg,
            ) => (2, 2),
            Some(function) if function.is_of_pairs() => (2, 2),
            // `mode(x ORDER BY y)` comes as `mode(y, x)`.
            Some(F::StringAgg | F::Min | F::Max | F::Mode) => (1, 2),
            Some(_) => (1, 1),
        }
    }

    fn refuse(&self, what: &str, ty: &DataType) -> Result<DataType> {
        plan_err!("{}() needs {what}, not {}", self.name, display_type(ty))
    }

    /// The type that an argument is cast to.
    fn coerce(&self, position: usize, ty: &DataType) -> Result<DataType> {
        let Some(function) = self.function else { return Ok(ty.clone()) };
        let number = ty.is_numeric() || ty.is_null();
        match (function, position) {
            (F::QuantileCont | F::QuantileDisc, 1) => self.fractions(ty),
            (F::Min | F::Max | F::ApproxTopK, 1) | (F::ArgMin | F::ArgMax, 2) => {
                match ty.is_integer() || ty.is_null() {
                    true => Ok(DataType::Int64),
                    false => self.refuse("a whole number", ty),
                }
            }
            (F::Sum | F::Avg, _) => self.summed(ty),
            (F::VarSamp | F::VarPop | F::StddevSamp | F::StddevPop | F::Sem, _)
            | (F::Skewness | F::Kurtosis | F::KurtosisPop, _) => match ty {
                DataType::Null => Ok(DataType::Float64),
                DataType::Float16 => Ok(DataType::Float32),
                _ if number => Ok(ty.clone()),
                _ => self.refuse("a number", ty),
            },
            (F::Product | F::GeometricMean | F::WeightedAvg, _) if number => Ok(DataType::Float64),
            (function, _) if function.is_of_pairs() && number => Ok(DataType::Float64),
            (F::Product | F::GeometricMean | F::WeightedAvg, _) => self.refuse("numbers", ty),
            (function, _) if function.is_of_pairs() => self.refuse("numbers", ty),
            (F::Median, _) if *ty == DataType::Date32 => Ok(TIMESTAMP),
            (F::QuantileCont | F::Mad, _) => match ty {
                DataType::Null => Ok(DataType::Float64),
                DataType::Date32 if function == F::QuantileCont => Ok(TIMESTAMP),
                _ if number || *ty == DataType::Date32 || is_moment(ty) => Ok(ty.clone()),
                _ => self.refuse("a number, a date or a time", ty),
            },
            (F::BoolAnd | F::BoolOr, _) => match ty {
                DataType::Boolean | DataType::Null => Ok(DataType::Boolean),
                _ => self.refuse("a boolean", ty),
            },
            (F::BitAnd | F::BitOr | F::BitXor, _) => match ty {
                DataType::Null => Ok(DataType::Int64),
                _ if ty.is_integer() => Ok(ty.clone()),
                _ => self.refuse("an integer", ty),
            },
            (F::StringAgg, _) if ty.is_nested() => self.refuse("texts", ty),
            (F::StringAgg, _) => Ok(DataType::Utf8View),
            (F::Histogram | F::ApproxTopK | F::Entropy, 0) if ty.is_null() => Ok(DataType::Int64),
            _ => Ok(ty.clone()),
        }
    }

    /// A fraction or a list of them.
    fn fractions(&self, ty: &DataType) -> Result<DataType> {
        let element = match ty {
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::FixedSizeList(field, _) => field.data_type(),
            other => other,
        };
        match element.is_numeric() || element.is_null() {
            true if element == ty => Ok(DataType::Float64),
            true => Ok(DataType::new_list(DataType::Float64, true)),
            false => self.refuse("a fraction from 0 to 1 or a list of them", ty),
        }
    }

    fn summed(&self, ty: &DataType) -> Result<DataType> {
        let doubles = self.name == FLOAT_SUM || self.name == FLOAT_AVG;
        match ty {
            DataType::Boolean if self.name == "sum" => Ok(DataType::Int64),
            DataType::Boolean | DataType::Null if self.name == COUNT_IF => Ok(DataType::Boolean),
            _ if self.name == COUNT_IF => self.refuse("a boolean", ty),
            _ if doubles && (ty.is_numeric() || ty.is_null()) => Ok(DataType::Float64),
            _ if doubles => self.refuse("a number", ty),
            DataType::Null => Ok(DataType::Int64),
            DataType::Float16 => Ok(DataType::Float32),
            DataType::Interval(_) | DataType::Duration(_) => Ok(ty.clone()),
            DataType::Date32 if self.name == "avg" => Ok(TIMESTAMP),
            _ if self.name == "avg" && is_moment(ty) => Ok(ty.clone()),
            _ if ty.is_numeric() => Ok(ty.clone()),
            _ => self.refuse("a number", ty),
        }
    }
}

fn is_moment(ty: &DataType) -> bool {
    matches!(ty, DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_))
}

/// The type of a map from values to how often they occur.
fn histogram(keys: DataType) -> DataType {
    let fields = vec![
        Arc::new(Field::new("key", keys, false)),
        Arc::new(Field::new("value", DataType::UInt64, true)),
    ];
    let entries = Field::new("entries", DataType::Struct(fields.into()), false);
    DataType::Map(Arc::new(entries), false)
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
        let Some(function) = self.function else { return Ok(DataType::Int32) };
        let list = |element: DataType| DataType::new_list(element, true);
        let listed = |element: DataType| match args.get(1) {
            Some(DataType::List(_)) => list(element),
            _ => element,
        };
        Ok(match function {
            F::Count | F::CountStar | F::RegrCount | F::ApproxCountDistinct => DataType::Int64,
            F::Sum => match first {
                DataType::Decimal32(_, s)
                | DataType::Decimal64(_, s)
                | DataType::Decimal128(_, s) => DataType::Decimal128(38, s),
                DataType::Interval(_) | DataType::Duration(_) => first,
                _ if first.is_floating() => DataType::Float64,
                _ => DataType::Int64,
            },
            F::Avg => match first {
                DataType::Decimal32(p, s)
                | DataType::Decimal64(p, s)
                | DataType::Decimal128(p, s) => {
                    DataType::Decimal128(38, quotient_scale(i16::from(p) - i16::from(s), s))
                }
                DataType::Interval(_) | DataType::Duration(_) => first,
                _ if is_moment(&first) => first,
                _ => DataType::Float64,
            },
            F::Median | F::QuantileCont if first.is_numeric() => listed(DataType::Float64),
            F::QuantileCont | F::QuantileDisc => listed(first),
            F::Mad if !first.is_numeric() => DataType::Interval(IntervalUnit::MonthDayNano),
            F::VarSamp
            | F::VarPop
            | F::StddevSamp
            | F::StddevPop
            | F::Sem
            | F::Mad
            | F::Entropy => DataType::Float64,
            F::Skewness | F::Kurtosis | F::KurtosisPop => DataType::Float64,
            F::Product | F::GeometricMean | F::WeightedAvg => DataType::Float64,
            function if function.is_of_pairs() => DataType::Float64,
            F::Histogram => histogram(first),
            F::List | F::ApproxTopK => list(first),
            F::Min | F::Max if args.len() > 1 => list(first),
            F::ArgMin | F::ArgMax if args.len() > 2 => list(first),
            F::Mode => args.last().cloned().unwrap_or(first),
            _ => first,
        })
    }

    fn is_nullable(&self) -> bool {
        !matches!(
            self.function,
            None | Some(F::Count | F::RegrCount | F::ApproxCountDistinct | F::Entropy)
        )
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        let (least, most) = self.arity();
        if args.len() < least || args.len() > most {
            let expected = match (least, most) {
                (1, 1) => "one argument".to_owned(),
                (2, 2) => "two arguments".to_owned(),
                (least, usize::MAX) => format!("at least {least} argument"),
                (1, 2) => "one or two arguments".to_owned(),
                (2, 3) => "two or three arguments".to_owned(),
                (least, most) => format!("{least} to {most} arguments"),
            };
            return plan_err!("{}() takes {expected}, not {}", self.name, args.len());
        }
        args.iter().enumerate().map(|(position, ty)| self.coerce(position, ty)).collect()
    }

    fn default_value(&self, ty: &DataType) -> Result<ScalarValue> {
        match self.function {
            Some(F::Count | F::RegrCount | F::ApproxCountDistinct) => {
                Ok(ScalarValue::Int64(Some(0)))
            }
            Some(F::Entropy) => Ok(ScalarValue::Float64(Some(0.0))),
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
        Ok(Arc::new(Field::new(self.name, ty, self.is_nullable())))
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
        assert_eq!(result("median", &[DataType::Date32]), TIMESTAMP);
        let list = |ty: DataType| DataType::new_list(ty, true);
        let half = list(DataType::Decimal128(2, 1));
        assert_eq!(
            result("quantile_cont", &[DataType::Int32, half.clone()]),
            list(DataType::Float64)
        );
        assert_eq!(result("quantile_disc", &[DataType::Int32, half]), list(DataType::Int32));
        assert_eq!(result("min", &[DataType::Int32, DataType::Int32]), list(DataType::Int32));
        assert_eq!(result("count_if", &[DataType::Boolean]), DataType::Int64);
        assert_eq!(result("fsum", &[DataType::Decimal128(5, 2)]), DataType::Float64);
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        assert_eq!(result("mad", &[DataType::Date32]), interval);
        let sum = aggregate_udfs().into_iter().find(|f| f.name() == "sum").unwrap();
        assert!(sum.coerce_types(&[DataType::Utf8View]).is_err());
        assert!(sum.coerce_types(&[DataType::Int64, DataType::Int64]).is_err());
    }
}
