//! The library's scalar functions as the engine calls them, made once per process.

use std::sync::{Arc, LazyLock};

use datafusion_common::config::ConfigOptions;
use stoadb_engine::function::FunctionRegistry;

use super::functions::{LibraryFunction, scalar_functions};

static REGISTRY: LazyLock<Arc<FunctionRegistry>> = LazyLock::new(|| {
    let options = Arc::new(ConfigOptions::default());
    let mut registry = FunctionRegistry::default();
    for (name, function) in scalar_functions() {
        registry.register(&name, Arc::new(LibraryFunction::new(function, Arc::clone(&options))));
    }
    Arc::new(registry)
});

/// The functions that expressions may name, beside the engine's own.
pub fn registry() -> &'static Arc<FunctionRegistry> {
    &REGISTRY
}
