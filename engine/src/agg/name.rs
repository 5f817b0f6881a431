//! What is known of aggregates by their function alone: the name for messages, whether repeats or the order of rows
//! matter.
//!
//! Invariant: a function has the name that SQL calls it by. Next: `mod.rs`.

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

/// Whether repeats of a value change nothing.
pub(super) fn is_idempotent(function: Function) -> bool {
    matches!(
        function,
        Function::Min
            | Function::Max
            | Function::BoolAnd
            | Function::BoolOr
            | Function::BitAnd
            | Function::BitOr
            | Function::AnyValue
    )
}

pub(super) fn cares_for_order(function: Function) -> bool {
    matches!(
        function,
        Function::AnyValue
            | Function::First
            | Function::Last
            | Function::ArgMin
            | Function::ArgMax
            | Function::Mode
            | Function::StringAgg
            | Function::List
    )
}
