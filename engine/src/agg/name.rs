//! What aggregate functions are called in messages.
//!
//! Invariant: the names are those of SQL.

use crate::plan::AggregateFunction as Function;

/// The function's name in SQL, for messages.
pub(crate) fn name(function: Function) -> &'static str {
    match function {
        Function::CountStar | Function::Count => "count",
        Function::Sum => "sum",
        Function::Avg => "avg",
        Function::Min => "min",
        Function::Max => "max",
        Function::VarSamp => "var_samp",
        Function::VarPop => "var_pop",
        Function::StddevSamp => "stddev_samp",
        Function::StddevPop => "stddev_pop",
        Function::BoolAnd => "bool_and",
        Function::BoolOr => "bool_or",
        Function::BitAnd => "bit_and",
        Function::BitOr => "bit_or",
        Function::BitXor => "bit_xor",
        Function::AnyValue => "any_value",
        Function::First => "first",
        Function::Last => "last",
        Function::ArgMin => "arg_min",
        Function::ArgMax => "arg_max",
        Function::Median => "median",
        Function::QuantileCont => "quantile_cont",
        Function::QuantileDisc => "quantile_disc",
        Function::Mode => "mode",
        Function::StringAgg => "string_agg",
        Function::List => "list",
        Function::Product => "product",
        Function::Corr => "corr",
        Function::CovarSamp => "covar_samp",
        Function::CovarPop => "covar_pop",
        Function::SingleValue => "a scalar subquery",
    }
}
