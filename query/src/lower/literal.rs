//! Constants: the library's scalar values become the engine's.
//!
//! Invariant: a literal is folded into another type only when that loses nothing.

use arrow::compute::{CastOptions, cast_with_options};
use datafusion_common::ScalarValue;
use stoadb_engine::Expr;
use stoadb_storage::{LogicalType, Scalar};

use super::planner_error;
use crate::error::Result;

/// The engine's form of a literal, whatever its encoding.
pub(super) fn scalar(value: &ScalarValue) -> Result<Scalar> {
    if matches!(value, ScalarValue::Null) {
        return Ok(Scalar::null(LogicalType::Null));
    }
    let array = value.to_array_of_size(1).map_err(planner_error)?;
    Ok(Scalar::from_array(&array, 0)?)
}

/// The value in another type, if nothing is lost: converting it back gives the same value.
pub(crate) fn fold_exactly(value: &Scalar, ty: &LogicalType) -> Option<Scalar> {
    if value.ty() == ty {
        return Some(value.clone());
    }
    if value.is_null() {
        return Some(Scalar::null(ty.clone()));
    }
    let foldable = |ty: &LogicalType| {
        ty.is_numeric() || matches!(ty, LogicalType::Date | LogicalType::Timestamp(_, None))
    };
    // Between numbers or between dates and timestamps only: other conversions are the engine's to define.
    if !foldable(value.ty()) || !foldable(ty) || value.ty().is_numeric() != ty.is_numeric() {
        return None;
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let there = cast_with_options(value.array(), &ty.to_arrow(), &options).ok()?;
    let back = cast_with_options(&there, &value.ty().to_arrow(), &options).ok()?;
    let there = Scalar::from_array(&there, 0).ok()?;
    let back = Scalar::from_array(&back, 0).ok()?;
    (back == *value && !there.is_null()).then_some(there)
}

/// TRUE or FALSE.
pub(super) fn boolean(value: bool) -> Expr {
    Expr::Literal(Scalar::boolean(value))
}
