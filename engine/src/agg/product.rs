//! `product`: as a double.
//!
//! Invariant: multiplied in row order within a morsel, then in morsel order.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use stoadb_storage::Vector;

use super::{Groups, input::doubles, table::permute};
use crate::error::{EngineError, Result};

/// Products per group; `None` before the first value.
#[derive(Default)]
pub(crate) struct Product {
    products: Vec<Option<f64>>,
}

impl Product {
    pub(crate) fn resize(&mut self, groups: usize) {
        self.products.resize(groups, None);
    }

    pub(crate) fn reorder(&mut self, order: &[u32]) {
        permute(&mut self.products, order);
    }

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let [arg] = args else { return Err(EngineError::Internal("one argument wanted".into())) };
        for (row, &value) in doubles(arg)?.iter().enumerate() {
            let product = &mut self.products[groups.id(row)];
            *product = Some(product.unwrap_or(1.0) * value);
        }
        Ok(())
    }

    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) {
        for (&from, &to) in from.iter().zip(to) {
            if let Some(value) = other.products[from as usize] {
                let product = &mut self.products[to as usize];
                *product = Some(product.unwrap_or(1.0) * value);
            }
        }
    }

    pub(crate) fn finish(&self) -> ArrayRef {
        Arc::new(self.products.iter().copied().collect::<Float64Array>())
    }

    pub(crate) fn memory(&self) -> u64 {
        (self.products.capacity() * 16) as u64
    }
}
