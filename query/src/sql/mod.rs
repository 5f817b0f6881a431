//! SQL text: dialect, parser, gate and rewrites, up to an AST whose meaning the planner library gets right.
//!
//! Invariant: what leaves this module has been looked at node by node: everything that the planner would drop or misread
//! is rewritten or refused here. Next: `planner/`.

pub mod asof; // ASOF joins -> joins with a marked condition
pub mod balance; // long AND, OR, + and || chains become balanced trees
pub mod calls; // calls written otherwise
pub mod clauses; // clauses that the parser does not know
pub mod dialect; // which tokens and clauses are SQL to us
pub mod exclusions; // EXCLUDE of window frames
pub mod file_options; // options of read_csv and its like
pub mod frames; // distances of window frames
pub mod friendly; // aliases reused, * RENAME, COLUMNS
pub mod gate; // refusals by name, with their place
pub mod json; // JSON operators and casts
pub mod named_windows; // WINDOW clauses, spelt out
pub mod names; // folding of identifiers and the spelling of output columns
pub mod grouped; // a mark behind the expressions of GROUP BY
pub mod order_by; // keys of ORDER BY beside aliases of the same name
pub mod parse; // text -> statements
pub mod pivot; // PIVOT and UNPIVOT
pub mod raised; // the place of an error that a row raised
pub mod rewrite; // friendly syntax -> plain SQL
pub mod set_all; // INTERSECT ALL and EXCEPT ALL
pub mod shadowed; // names that WITH gives within and around
pub mod shares; // LIMIT in percent, WITH TIES, samples
pub mod shorthand; // comprehensions of lists and other short forms
pub mod statements; // INSERT BY NAME, DROP MACRO
pub mod sources; // file names and table functions in FROM
pub mod struct_types; // STRUCT(a INTEGER) -> STRUCT<a INTEGER>
pub mod statement_options; // options of COPY, EXPORT, IMPORT
pub mod tuples; // rows in parentheses
pub mod visit; // visitors of syntax trees, compiled once
pub mod walk; // expressions outside of subqueries
pub mod using; // USING and NATURAL -> ON
pub mod whole_rows; // tables as structs, LATERAL where it is not said

pub use datafusion_sql::sqlparser::ast;
pub use parse::{ParsedStatement, parse, with_stack_for_copies};
