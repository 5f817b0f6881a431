//! The functions that expressions name beside the engine's own: the library's, and operators. Made once per process.

use std::sync::{Arc, LazyLock};

use datafusion_common::config::ConfigOptions;
use stoadb_engine::function::FunctionRegistry;

use super::functions::{LibraryFunction, scalar_functions};
use crate::lower::register_operators;

static REGISTRY: LazyLock<Arc<FunctionRegistry>> = LazyLock::new(|| {
    let options = Arc::new(ConfigOptions::default());
    let mut registry = FunctionRegistry::default();
    register_operators(&mut registry);
    for (name, function) in scalar_functions() {
        registry.register(&name, Arc::new(LibraryFunction::new(function, Arc::clone(&options))));
    }
    Arc::new(registry)
});

/// The functions that expressions may name, beside the engine's own.
pub fn registry() -> &'static Arc<FunctionRegistry> {
    &REGISTRY
}
