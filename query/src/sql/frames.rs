//! Frame distances: what the planner library takes for a constant is spelt out, the rest is refused with its place.
//!
//! Invariant: afterwards a distance is a plain whole number for ROWS and GROUPS, a number or an interval of one text for
//! RANGE.

use datafusion_sql::sqlparser::{
    ast::{Expr, Interval, Spanned, Value, WindowFrameBound, WindowFrameUnits, WindowSpec},
    tokenizer::Span,
};

use crate::{
    error::{Error, ErrorKind, Result},
    sql::parse::place,
};

/// Rewrites the distances of a window's frame.
///
/// # Errors
/// `Type`, with the place, for a distance that is no constant of the frame's kind.
pub fn rewrite(window: &mut WindowSpec) -> Result<()> {
    let keys = window.partition_by.iter().map(Spanned::span);
    let keys = keys.chain(window.order_by.iter().map(Spanned::span));
    let window_span = keys.reduce(|all, span| all.union(&span)).unwrap_or_else(Span::empty);
    let Some(frame) = &mut window.window_frame else { return Ok(()) };
    let end = frame.end_bound.as_ref().map_or(2, side);
    let start = side(&frame.start_bound);
    if end == 0 || start == 4 || start > end {
        let text = frame.end_bound.as_ref().map_or("CURRENT ROW".into(), ToString::to_string);
        let message = format!("a frame from {} to {text} ends before it starts", frame.start_bound);
        return Err(Error::new(ErrorKind::Type, message).or_span(place(window_span)));
    }
    let bounds = [Some(&mut frame.start_bound), frame.end_bound.as_mut()];
    for bound in bounds.into_iter().flatten() {
        if let WindowFrameBound::Preceding(Some(distance))
        | WindowFrameBound::Following(Some(distance)) = bound
        {
            check(distance, frame.units)?;
        }
    }
    Ok(())
}

/// Where a bound lies: before, at or after the row.
fn side(bound: &WindowFrameBound) -> u8 {
    match bound {
        WindowFrameBound::Preceding(None) => 0,
        WindowFrameBound::Preceding(Some(_)) => 1,
        WindowFrameBound::CurrentRow => 2,
        WindowFrameBound::Following(Some(_)) => 3,
        WindowFrameBound::Following(None) => 4,
    }
}

fn check(distance: &mut Expr, units: WindowFrameUnits) -> Result<()> {
    let range = units == WindowFrameUnits::Range;
    match distance {
        Expr::Value(value) => {
            if let Value::Number(digits, _) = &value.value
                && (range || digits.bytes().all(|digit| digit.is_ascii_digit()))
            {
                return Ok(());
            }
        }
        Expr::Interval(Interval { value, .. }) if range => {
            if let Expr::Value(value) = value.as_mut() {
                if let Value::Number(digits, _) = &value.value {
                    value.value = Value::SingleQuotedString(digits.clone());
                }
                return Ok(());
            }
        }
        _ => {}
    }
    let wanted = match range {
        true => "a number or an INTERVAL that is a constant and not negative",
        false => "a whole number that is not negative",
    };
    let message = format!("the distance of a {units} frame must be {wanted}");
    Err(Error::new(ErrorKind::Type, message).or_span(place(distance.span())))
}
