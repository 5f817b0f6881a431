//! The functions that SQL may name, as a list.
//!
//! Invariant: what the planner finds by name is listed, but for what it makes itself: operators (`.._op`) and the value of
//! a scalar subquery. Next: `functions.rs`.

use crate::{
    planner::{functions::functions, lambdas::lambda_aliases},
    sql::sources::table_functions,
};

/// The aggregate that a scalar subquery becomes.
const SINGLE_VALUE: &str = "single_value";

/// A function, or another name of one.
pub(crate) struct ListedFunction {
    pub(crate) name: String,
    /// What the name is another one of.
    pub(crate) alias_of: Option<String>,
    /// `scalar`, `aggregate`, `window` or `table`.
    pub(crate) kind: &'static str,
}

/// The functions that every database has.
pub(crate) fn listed_functions() -> Vec<ListedFunction> {
    let functions = functions(&datafusion_common::config::ConfigOptions::default());
    let [scalars, aggregates, windows] = functions.names();
    let mut all = Vec::new();
    let mut add = |name: String, declared: &str, kind| {
        if !name.ends_with("_op") && name != SINGLE_VALUE {
            let alias_of = (declared != name).then(|| declared.to_owned());
            all.push(ListedFunction { name, alias_of, kind });
        }
    };
    for name in scalars {
        if let Some(udf) = functions.scalar(&name) {
            add(name, udf.name(), "scalar");
        }
    }
    for (name, declared) in lambda_aliases() {
        add(name.to_owned(), declared, "scalar");
    }
    for name in aggregates {
        if let Some(udf) = functions.aggregate(&name) {
            add(name, udf.name(), "aggregate");
        }
    }
    for name in windows {
        if let Some(udf) = functions.window(&name) {
            add(name, udf.name(), "window");
        }
    }
    for name in table_functions() {
        add(name.to_owned(), name, "table");
    }
    all
}
