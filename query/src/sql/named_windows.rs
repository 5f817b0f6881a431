//! Named windows are spelt out where they are used, so that they mean the same in every clause.
//!
//! Invariant: no name of a window is left. A window that builds on another takes its partitioning and order and may
//! add an order and a frame of its own, as in the SQL standard (ISO/IEC 9075-2, window clause).

use datafusion_sql::sqlparser::ast::{
    Expr, Function, Ident, NamedWindowDefinition, NamedWindowExpr, Query, Select, SetExpr, Spanned,
    VisitMut, WindowSpec, WindowType,
};

use crate::{
    error::{Error, ErrorKind, Result},
    sql::{exclusions::is_marker, names::fold, parse::place, walk},
};

/// Spells out the windows of a SELECT.
///
/// # Errors
/// `Name` for a window that is not defined, `Type` for one that repeats a clause of the window it builds on; both with
/// the place.
pub fn expand(select: &mut Select) -> Result<()> {
    let known = definitions(&select.named_window)?;
    select.named_window.clear();
    visit(select, &known)
}

/// Spells out the windows in a query's ORDER BY, which sees those of the query's SELECT.
///
/// # Errors
/// As `expand`.
pub fn expand_order(query: &mut Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
    let known = definitions(&select.named_window)?;
    query.order_by.as_mut().map_or(Ok(()), |order| visit(order, &known))
}

/// Whether a call's window names another.
pub fn is_named(function: &Function) -> bool {
    match &function.over {
        Some(WindowType::NamedWindow(_)) => true,
        Some(WindowType::WindowSpec(window)) => window.window_name.is_some(),
        None => false,
    }
}

type Known = Vec<(String, WindowSpec)>;

/// The definitions, each spelt out by those before it.
fn definitions(definitions: &[NamedWindowDefinition]) -> Result<Known> {
    let mut known: Known = Vec::with_capacity(definitions.len());
    for NamedWindowDefinition(name, definition) in definitions {
        let window = match definition {
            NamedWindowExpr::NamedWindow(other) => find(&known, other)?.clone(),
            NamedWindowExpr::WindowSpec(window) => spelt_out(window, &known)?,
        };
        known.push((fold(&name.value), window));
    }
    Ok(known)
}

fn find<'k>(known: &'k Known, name: &Ident) -> Result<&'k WindowSpec> {
    let found = known.iter().find(|(known, _)| *known == fold(&name.value));
    found.map(|(_, window)| window).ok_or_else(|| {
        let message = format!("there is no window \"{}\"", name.value);
        Error::new(ErrorKind::Name, message)
            .with_hint("windows are named by WINDOW name AS (...) behind HAVING")
            .or_span(place(name.span))
    })
}

fn spelt_out(window: &WindowSpec, known: &Known) -> Result<WindowSpec> {
    let Some(name) = &window.window_name else { return Ok(window.clone()) };
    let base = find(known, name)?;
    let (marks, parts): (Vec<Expr>, Vec<Expr>) =
        window.partition_by.iter().cloned().partition(is_marker);
    let repeats = if !parts.is_empty() {
        Some("has a PARTITION BY of its own")
    } else if !window.order_by.is_empty() && !base.order_by.is_empty() {
        Some("has another ORDER BY")
    } else if base.window_frame.is_some() {
        Some("builds on a window with a frame")
    } else {
        None
    };
    if let Some(what) = repeats {
        let message = format!("a window that builds on \"{}\" {what}", name.value);
        return Err(Error::new(ErrorKind::Type, message).or_span(place(name.span)));
    }
    let mut spelt = window.clone();
    spelt.window_name = None;
    spelt.partition_by = base.partition_by.iter().cloned().chain(marks).collect();
    if spelt.order_by.is_empty() {
        spelt.order_by.clone_from(&base.order_by);
    }
    Ok(spelt)
}

fn visit(node: &mut impl VisitMut, known: &Known) -> Result<()> {
    walk::change(node, |expr| {
        let Expr::Function(function) = expr else { return Ok(()) };
        let span = function.span();
        let window = match &function.over {
            Some(WindowType::NamedWindow(name)) => find(known, name).cloned(),
            Some(WindowType::WindowSpec(window)) if window.window_name.is_some() => {
                spelt_out(window, known)
            }
            _ => return Ok(()),
        };
        let window = window.map_err(|error| error.or_span(place(span)))?;
        function.over = Some(WindowType::WindowSpec(window));
        Ok(())
    })
}
