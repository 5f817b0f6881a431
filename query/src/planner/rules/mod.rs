//! Rewrites of our own that run among the planner library's.

mod dates; // dates compared with timestamps
mod simplify_functions; // functions that have another form

pub use dates::compare_dates;
pub use simplify_functions::SimplifyFunctions;
