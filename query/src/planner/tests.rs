//! Plans of whole statements over a small catalog.

use super::*;
