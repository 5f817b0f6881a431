//! Aggregate functions and their calls, as plans hold them.
//!
//! Invariant: plain data; `agg/` says how each is computed. Next: `window.rs`.

use stoadb_storage::{LogicalType, Scalar};

use super::SortKey;
use crate::expr::Expr;

/// One aggregate of an `Aggregate` node.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateCall {
    /// What is computed.
    pub function: AggregateFunction,
    /// Its arguments over the input's columns.
    pub args: Vec<Expr>,
    /// Constant arguments that are not rows' values: the fractions of a quantile (negative ones, -0.0 too, count from the
    /// largest value), a separator, how many values.
    pub parameters: Vec<Scalar>,
    /// Only distinct argument tuples count.
    pub distinct: bool,
    /// Only rows for which this is TRUE count.
    pub filter: Option<Expr>,
    /// The order in which rows are seen, for functions that care.
    pub order_by: Vec<SortKey>,
    /// The type of the result.
    pub ty: LogicalType,
}

impl AggregateCall {
    /// Calls `f` on every expression.
    pub fn for_each_expr_mut(&mut self, f: &mut impl FnMut(&mut Expr)) {
        self.args.iter_mut().chain(&mut self.filter).for_each(&mut *f);
        self.order_by.iter_mut().for_each(|key| f(&mut key.expr));
    }
}

/// Aggregate functions. All but the counts ignore NULL arguments and give NULL over no value, unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AggregateFunction {
    /// `count(*)`: rows.
    CountStar,
    /// `count(x)`: rows in which no argument is NULL.
    Count,
    /// Exact for integers (BIGINT result, overflow is an error) and decimals; order-free for floats.
    Sum,
    /// A double for integers and floats, a decimal for decimals; intervals and moments stay what they are.
    Avg,
    /// The smallest value; NaN is the largest. With `parameters[0]`, a list of so many values from the smallest on; so
    /// with `Max`, and of values of the first argument with `ArgMin` and `ArgMax`.
    Min,
    /// The largest value; NaN is the largest.
    Max,
    /// Variance with n - 1.
    VarSamp,
    /// Variance with n.
    VarPop,
    /// Square root of `VarSamp`.
    StddevSamp,
    /// Square root of `VarPop`.
    StddevPop,
    /// Standard error of the mean: `StddevPop` over the root of n.
    Sem,
    /// Skewness with the correction for samples; NULL over fewer than 3 values or equal ones.
    Skewness,
    /// Excess kurtosis with the correction for samples; NULL over fewer than 4 values or equal ones.
    Kurtosis,
    /// Excess kurtosis without a correction; NULL over one value or equal ones.
    KurtosisPop,
    /// Whether all are TRUE.
    BoolAnd,
    /// Whether one is TRUE.
    BoolOr,
    /// Bitwise AND of integers.
    BitAnd,
    /// Bitwise OR of integers.
    BitOr,
    /// Bitwise XOR of integers.
    BitXor,
    /// The first value that is not NULL, in row order.
    AnyValue,
    /// The first row's value, NULL or not.
    First,
    /// The last row's value, NULL or not.
    Last,
    /// The value of the first argument where the second is smallest (the first such row).
    ArgMin,
    /// The value of the first argument where the second is largest (the first such row).
    ArgMax,
    /// As `ArgMin`, but the value that is given may be NULL.
    ArgMinNull,
    /// As `ArgMax`, but the value that is given may be NULL.
    ArgMaxNull,
    /// The middle value; the mean of the two middle ones for numbers and moments.
    Median,
    /// The quantiles `parameters`, interpolated; a list where the result's type is one.
    QuantileCont,
    /// The quantiles `parameters`, actual values; a list where the result's type is one.
    QuantileDisc,
    /// The median of the distances from the median; an interval for moments.
    Mad,
    /// The most frequent value, the first seen among equals.
    Mode,
    /// Shannon's entropy of the values' frequencies, in bits; 0 over no value.
    Entropy,
    /// A map from each value, in order, to how often it occurs.
    Histogram,
    /// A list of the `parameters[0]` most frequent values, the first seen first among equals. Exact.
    ApproxTopK,
    /// About how many distinct values there are: exact up to 2,048 of them, then with a standard error of 0.8 %.
    ApproxCountDistinct,
    /// Joins texts by `parameters[0]`, in row order (or `order_by`).
    StringAgg,
    /// A list of all values, NULLs included, in row order (or `order_by`).
    List,
    /// The product as a double.
    Product,
    /// Pearson's correlation of two doubles.
    Corr,
    /// Covariance with n - 1.
    CovarSamp,
    /// Covariance with n.
    CovarPop,
    /// How many pairs there are. Of `regr_` functions the first argument is y, the second x; pairs with a NULL are left
    /// out.
    RegrCount,
    /// The mean of x.
    RegrAvgX,
    /// The mean of y.
    RegrAvgY,
    /// The sum of squared distances of x from its mean.
    RegrSxx,
    /// The sum of squared distances of y from its mean.
    RegrSyy,
    /// The sum of products of the distances of x and y from their means.
    RegrSxy,
    /// The slope of the line of least squares; NULL where x never varies.
    RegrSlope,
    /// Where that line meets x = 0.
    RegrIntercept,
    /// The square of the correlation: 1 where y never varies, NULL where x never does.
    RegrR2,
    /// `exp(avg(ln(x)))`: 0 where a value is 0, NaN where one is negative.
    GeometricMean,
    /// `sum(x * weight) / sum(weight)` over the pairs without NULL.
    WeightedAvg,
    /// Errors on a second value: turns a subquery into a value.
    SingleValue,
}

impl AggregateFunction {
    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::CountStar | Self::Count => "count",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::VarSamp => "var_samp",
            Self::VarPop => "var_pop",
            Self::StddevSamp => "stddev_samp",
            Self::StddevPop => "stddev_pop",
            Self::Sem => "sem",
            Self::Skewness => "skewness",
            Self::Kurtosis => "kurtosis",
            Self::KurtosisPop => "kurtosis_pop",
            Self::BoolAnd => "bool_and",
            Self::BoolOr => "bool_or",
            Self::BitAnd => "bit_and",
            Self::BitOr => "bit_or",
            Self::BitXor => "bit_xor",
            Self::AnyValue => "any_value",
            Self::First => "first",
            Self::Last => "last",
            Self::ArgMin => "arg_min",
            Self::ArgMax => "arg_max",
            Self::ArgMinNull => "arg_min_null",
            Self::ArgMaxNull => "arg_max_null",
            Self::Median => "median",
            Self::QuantileCont => "quantile_cont",
            Self::QuantileDisc => "quantile_disc",
            Self::Mad => "mad",
            Self::Entropy => "entropy",
            Self::Histogram => "histogram",
            Self::ApproxTopK => "approx_top_k",
            Self::ApproxCountDistinct => "approx_count_distinct",
            Self::Mode => "mode",
            Self::StringAgg => "string_agg",
            Self::List => "list",
            Self::Product => "product",
            Self::Corr => "corr",
            Self::CovarSamp => "covar_samp",
            Self::CovarPop => "covar_pop",
            Self::RegrCount => "regr_count",
            Self::RegrAvgX => "regr_avgx",
            Self::RegrAvgY => "regr_avgy",
            Self::RegrSxx => "regr_sxx",
            Self::RegrSyy => "regr_syy",
            Self::RegrSxy => "regr_sxy",
            Self::RegrSlope => "regr_slope",
            Self::RegrIntercept => "regr_intercept",
            Self::RegrR2 => "regr_r2",
            Self::GeometricMean => "geometric_mean",
            Self::WeightedAvg => "weighted_avg",
            Self::SingleValue => "single_value",
        }
    }
    /// Whether it is one of correlation and regression, which take two numbers a row.
    pub fn is_of_pairs(self) -> bool {
        matches!(
            self,
            Self::Corr
                | Self::CovarSamp
                | Self::CovarPop
                | Self::RegrCount
                | Self::RegrAvgX
                | Self::RegrAvgY
                | Self::RegrSxx
                | Self::RegrSyy
                | Self::RegrSxy
                | Self::RegrSlope
                | Self::RegrIntercept
                | Self::RegrR2
        )
    }
}
