//! Distances of RANGE frames: exact ones keep all their digits, and dates and timestamps want intervals.
//!
//! Invariant: the planner library brings a distance to the type of the order key; where that would round it, the key gets
//! a type with enough digits first, in which it has the same order.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::{
    Result, ScalarValue, plan_err,
    tree_node::{Transformed, TransformedResult},
};
use datafusion_expr::{
    Expr, ExprSchemable, LogicalPlan, Window, WindowFrame, WindowFrameBound, WindowFrameUnits, cast,
};

use crate::planner::trees::PlanWalk;

/// Looks at the RANGE frames of a plan before any rewrite.
///
/// # Errors
/// When the order key is a date or a timestamp and a distance is a number, or the key has no distances at all.
pub fn range_distances(plan: LogicalPlan) -> Result<LogicalPlan> {
    let look = |plan| match plan {
        LogicalPlan::Window(window) => with_digits(window),
        plan => Ok(Transformed::no(plan)),
    };
    plan.transform_up_with_subqueries_dyn(look).data()
}

fn with_digits(window: Window) -> Result<Transformed<LogicalPlan>> {
    let mut changed = false;
    let mut calls = Vec::with_capacity(window.window_expr.len());
    for expr in &window.window_expr {
        let widened = widened(expr, &window)?;
        changed |= widened.is_some();
        calls.push(widened.unwrap_or_else(|| expr.clone()));
    }
    if !changed {
        return Ok(Transformed::no(LogicalPlan::Window(window)));
    }
    let window = Window::try_new(calls, Arc::clone(&window.input))?;
    Ok(Transformed::yes(LogicalPlan::Window(window)))
}

/// A call over a key with enough digits, if it has too few.
fn widened(expr: &Expr, window: &Window) -> Result<Option<Expr>> {
    let Expr::WindowFunction(function) = expr else { return Ok(None) };
    let [key] = function.params.order_by.as_slice() else { return Ok(None) };
    let Some(distance) = distance(&function.params.window_frame) else { return Ok(None) };
    let ty = key.expr.get_type(window.input.schema())?;
    let Some(scale) = wider(&ty, distance)? else { return Ok(None) };
    let mut function = function.as_ref().clone();
    for key in &mut function.params.order_by {
        key.expr = cast(key.expr.clone(), DataType::Decimal128(38, scale));
    }
    let name = expr.schema_name().to_string();
    Ok(Some(Expr::WindowFunction(Box::new(function)).alias(name)))
}

/// What the distances of a RANGE frame are.
#[derive(Clone, Copy)]
enum Distance {
    /// Numbers with at most so many digits behind the point.
    Number(i8),
    Other,
}

/// The distances of a RANGE frame; `None` when it has none.
fn distance(frame: &WindowFrame) -> Option<Distance> {
    if frame.units != WindowFrameUnits::Range {
        return None;
    }
    let mut found = None;
    for bound in [&frame.start_bound, &frame.end_bound] {
        let (WindowFrameBound::Preceding(ScalarValue::Utf8(Some(text)))
        | WindowFrameBound::Following(ScalarValue::Utf8(Some(text)))) = bound
        else {
            continue;
        };
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let behind = i8::try_from(text.split_once('.').map_or(0, |(_, behind)| behind.len()));
        found = Some(match (plain, behind, found) {
            (true, Ok(behind), Some(Distance::Number(known))) => {
                Distance::Number(known.max(behind))
            }
            (true, Ok(behind), None) => Distance::Number(behind),
            _ => Distance::Other,
        });
    }
    found
}

/// The scale that a key needs beside distances, if it has too few digits.
fn wider(ty: &DataType, distance: Distance) -> Result<Option<i8>> {
    match (ty, distance) {
        (DataType::Date32 | DataType::Timestamp(..), Distance::Number(_)) => plan_err!(
            "RANGE over a date or a timestamp needs an INTERVAL as its distance, such as INTERVAL '1 day'"
        ),
        (DataType::Time32(_) | DataType::Time64(_) | DataType::Interval(_), _) => {
            plan_err!("RANGE with a distance needs a number, date or timestamp in ORDER BY")
        }
        (DataType::Decimal128(_, scale), Distance::Number(digits)) if digits > *scale => {
            Ok(Some(digits))
        }
        (ty, Distance::Number(digits @ 1..)) if ty.is_integer() => Ok(Some(digits)),
        _ => Ok(None),
    }
}
