//! What an aggregate computes: its function, the types of its arguments, its constants.
//!
//! Invariants: a call that exists takes its arguments; DISTINCT and ORDER BY are gone where they change nothing.
//! Next: `mod.rs`, which makes the state.

use stoadb_storage::{LogicalType, Scalar};

use super::moments;
use crate::{
    error::{EngineError, Result},
    plan::{AggregateCall, AggregateFunction as Function, SortKey},
};

/// What an aggregate computes, apart from where its arguments come from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) function: Function,
    pub(crate) args: Vec<LogicalType>,
    pub(crate) parameters: Vec<Scalar>,
    pub(crate) distinct: bool,
    pub(crate) order_by: Vec<SortKey>,
    pub(crate) ty: LogicalType,
}

/// Functions of one state.
#[derive(PartialEq)]
enum Family {
    Sum,
    Variance,
    Shape,
    Pairs,
    Own(Function),
}

impl Call {
    /// The call of a plan, checked.
    ///
    /// # Errors
    /// `Unsupported` when the function does not take such arguments; `Value` for a constant that it does not take;
    /// `Internal` when their number is wrong.
    pub(crate) fn new(call: &AggregateCall) -> Result<Self> {
        let args: Vec<LogicalType> = call.args.iter().map(|arg| arg.ty()).collect();
        let mut call = Self {
            function: call.function,
            args,
            parameters: call.parameters.clone(),
            distinct: call.distinct,
            order_by: if cares_for_order(call.function) { call.order_by.clone() } else { vec![] },
            ty: call.ty.clone(),
        };
        call.distinct &= call.lists() || !is_idempotent(call.function);
        call.check()?;
        Ok(call)
    }

    fn check(&self) -> Result<()> {
        use Function as F;
        use LogicalType as T;
        let wanted = match self.function {
            F::CountStar => 0,
            F::Count => self.args.len().max(1),
            F::ArgMin | F::ArgMax | F::ArgMinNull | F::ArgMaxNull | F::WeightedAvg => 2,
            function if function.is_of_pairs() => 2,
            _ => 1,
        };
        if self.args.len() != wanted {
            let given = self.args.len();
            return Err(EngineError::Internal(format!("{:?} of {given} arguments", self.function)));
        }
        let fits = |ty: &T| match self.function {
            F::Sum => ty.is_numeric() || matches!(ty, T::Duration(_) | T::Interval | T::Null),
            F::Avg => {
                let moment = matches!(ty, T::Timestamp(..) | T::Time(_) | T::Duration(_));
                ty.is_numeric() || moment || matches!(ty, T::Interval | T::Null)
            }
            F::VarSamp
            | F::VarPop
            | F::StddevSamp
            | F::StddevPop
            | F::Sem
            | F::Skewness
            | F::Kurtosis
            | F::KurtosisPop
            | F::GeometricMean
            | F::WeightedAvg
            | F::Product => ty.is_numeric() || *ty == T::Null,
            function if function.is_of_pairs() => ty.is_numeric() || *ty == T::Null,
            F::Mad => {
                let moment = matches!(ty, T::Date | T::Timestamp(..) | T::Time(_));
                ty.is_numeric() || moment || *ty == T::Null
            }
            F::BoolAnd | F::BoolOr => matches!(ty, T::Boolean | T::Null),
            F::BitAnd | F::BitOr | F::BitXor => ty.is_integer() || *ty == T::Null,
            F::StringAgg => matches!(ty, T::Text | T::Null),
            _ => true,
        };
        if let Some(ty) = self.args.iter().find(|ty| !fits(ty)) {
            return Err(EngineError::Unsupported(format!("{} of {ty}", self.function.name())));
        }
        if self.lists() || self.function == F::ApproxTopK {
            self.most()?;
        }
        Ok(())
    }

    /// Whether a `min`, `max`, `arg_min` or `arg_max` gives a list of several values.
    pub(crate) fn lists(&self) -> bool {
        use Function as F;
        matches!(self.function, F::Min | F::Max | F::ArgMin | F::ArgMax)
            && !self.parameters.is_empty()
    }

    /// How many values a list has at most.
    ///
    /// # Errors
    /// `Value` when the number is not positive.
    pub(crate) fn most(&self) -> Result<usize> {
        let given = self.parameters.first();
        let most = given.and_then(|given| usize::try_from(given.as_i128()?).ok());
        most.filter(|&most| most > 0).ok_or_else(|| {
            let given = given.map_or_else(|| "nothing".into(), ToString::to_string);
            let name = self.function.name();
            EngineError::Value(format!("{name} gives a positive number of values, not {given}"))
        })
    }

    /// Whether rows with a NULL argument count.
    pub(crate) fn keeps_nulls(&self) -> bool {
        matches!(
            self.function,
            Function::CountStar
                | Function::First
                | Function::Last
                | Function::List
                | Function::ArgMinNull
                | Function::ArgMaxNull
                | Function::SingleValue
        )
    }

    /// Whether all rows must be kept until the end.
    pub(crate) fn collects(&self) -> bool {
        self.distinct
            || self.lists()
            || !self.order_by.is_empty()
            || matches!(
                self.function,
                Function::Median
                    | Function::QuantileCont
                    | Function::QuantileDisc
                    | Function::Mad
                    | Function::Mode
                    | Function::Entropy
                    | Function::Histogram
                    | Function::ApproxTopK
                    | Function::StringAgg
                    | Function::List
            )
    }

    /// Whether it is a sum or an average.
    pub(crate) fn sums(&self) -> bool {
        self.family() == Family::Sum
    }

    fn family(&self) -> Family {
        use Function as F;
        match self.function {
            F::Sum | F::Avg => Family::Sum,
            F::VarSamp | F::VarPop | F::StddevSamp | F::StddevPop | F::Sem => Family::Variance,
            F::Skewness | F::Kurtosis | F::KurtosisPop => Family::Shape,
            function if function.is_of_pairs() => Family::Pairs,
            function => Family::Own(function),
        }
    }

    /// Whether two calls over the same rows can share a state.
    pub(crate) fn shares_state(&self, other: &Self) -> bool {
        if self.collects() || other.collects() {
            return self == other;
        }
        self.family() == other.family() && self.args == other.args
    }

    /// Whether the other call over the same rows can read its result from this call's state, which is of another kind:
    /// exact variances keep the exact sum.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let exact = matches!(self.args.as_slice(), [arg] if moments::is_exact(arg));
        let families = (self.family(), other.family()) == (Family::Variance, Family::Sum);
        exact && families && self.args == other.args && !self.collects() && !other.collects()
    }
}

/// Whether repeats of a value change nothing.
fn is_idempotent(function: Function) -> bool {
    matches!(
        function,
        Function::Min
            | Function::Max
            | Function::BoolAnd
            | Function::BoolOr
            | Function::BitAnd
            | Function::BitOr
            | Function::AnyValue
            | Function::ApproxCountDistinct
    )
}

fn cares_for_order(function: Function) -> bool {
    matches!(
        function,
        Function::AnyValue
            | Function::First
            | Function::Last
            | Function::ArgMin
            | Function::ArgMax
            | Function::ArgMinNull
            | Function::ArgMaxNull
            | Function::Mode
            | Function::ApproxTopK
            | Function::StringAgg
            | Function::List
    )
}
