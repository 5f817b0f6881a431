//! The native half of the Python package `stoadb`: connections, rows, and data that cross the border without being
//! copied.
//!
//! Invariants: whatever may wait runs without the interpreter's lock; signals are looked after meanwhile; a connection
//! that was made before a fork is refused after it. `unsafe` stands in `capsule.rs` and `numpy.rs` alone, where memory
//! is lent across the border.
//! Read the modules in the order below; `python/stoadb/__init__.py` is what users see of it.

mod capsule; // Arrow data across the border, by the C data interface
mod connection; // Connection: runs statements
mod errors; // exceptions
mod functions; // functions written in Python
mod inputs; // Input: Python's data as a relation
mod numpy; // NumPy arrays, read and lent
mod parameters; // Python values -> SQL values
mod rows; // Rows: what a statement gives
mod values; // SQL values -> Python values
mod waiting; // waiting that looks after signals

use pyo3::pymodule;

#[pymodule]
mod _stoadb {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::{
        capsule::ArrowArray, connection::Connection, inputs::Input, numpy::Values, rows::Rows,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::waiting::remember_main_thread(module.py())?;
        crate::errors::add_to(module)?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
