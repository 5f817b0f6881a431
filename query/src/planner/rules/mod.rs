//! Rewrites of our own that run among the planner library's.

mod simplify_functions; // functions that have another form

pub use simplify_functions::SimplifyFunctions;
