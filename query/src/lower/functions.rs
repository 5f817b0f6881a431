//! The engine's aggregate functions by their SQL names.

use stoadb_engine::plan::AggregateFunction;

/// The aggregate function of a lower-case name.
pub(super) fn aggregate_function(name: &str) -> Option<AggregateFunction> {
    use AggregateFunction as F;
    Some(match name {
        "count" => F::Count,
        "sum" => F::Sum,
        "avg" | "mean" => F::Avg,
        "min" => F::Min,
        "max" => F::Max,
        "var" | "var_samp" | "variance" => F::VarSamp,
        "var_pop" => F::VarPop,
        "stddev" | "stddev_samp" => F::StddevSamp,
        "stddev_pop" => F::StddevPop,
        "bool_and" => F::BoolAnd,
        "bool_or" => F::BoolOr,
        "bit_and" => F::BitAnd,
        "bit_or" => F::BitOr,
        "bit_xor" => F::BitXor,
        "any_value" => F::AnyValue,
        "first" | "first_value" => F::First,
        "last" | "last_value" => F::Last,
        "arg_min" | "min_by" => F::ArgMin,
        "arg_max" | "max_by" => F::ArgMax,
        "median" => F::Median,
        "quantile_cont" | "percentile_cont" => F::QuantileCont,
        "quantile_disc" | "percentile_disc" => F::QuantileDisc,
        "mode" => F::Mode,
        "string_agg" => F::StringAgg,
        "list" | "array_agg" => F::List,
        "product" => F::Product,
        "corr" => F::Corr,
        "covar_samp" => F::CovarSamp,
        "covar_pop" => F::CovarPop,
        "single_value" => F::SingleValue,
        _ => return None,
    })
}
