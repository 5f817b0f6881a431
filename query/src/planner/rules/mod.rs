//! Rewrites of our own that run among the planner library's.

mod asof; // ASOF joins, which the library takes for others
mod common_types; // the types of mixed operands, where the library loses values
mod guarded; // rules of the library within bounds
mod lateral; // LATERAL over no table, unnest() of an outer column
mod occurrence; // equal rows, numbered
mod range_distances; // keys of RANGE frames in the type of the distance
mod simplify_functions; // functions that have another form
mod sort_names; // what the names in ORDER BY mean
mod unnested; // groups as written, keys below unnest()

pub use asof::{condition_of_asof, is_asof};
pub use common_types::common_types;
pub use guarded::{above_totals, keeping_columns, keeping_order, past_asof};
pub use lateral::{ComputeLateral, is_computed};
pub use occurrence::number_occurrences;
pub use range_distances::range_distances;
pub use simplify_functions::{SimplifyFunctions, is_repeatable};
pub use sort_names::sort_names;
pub use unnested::unmark_groups;
