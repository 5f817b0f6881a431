//! Friendly syntax becomes plain SQL.

use datafusion_sql::sqlparser::ast::Statement;

use crate::error::Result;

/// Rewrites a query in place.
///
/// # Errors
/// `Unsupported` and `Type`, with the place.
pub fn rewrite(_statement: &mut Statement) -> Result<()> {
    Ok(())
}
