//! JSON: an array of objects, or an object a line.
//!
//! Invariants: members come in the order of the columns; where names repeat later ones get a number, as in COPY; NULL is
//! `null`.

use std::io::{self, Write};

use arrow::array::RecordBatch;
use stoadb::distinct_names;

use super::{Column, Failure, Printer, cell};

/// A JSON printer.
pub(super) struct Json {
    /// Each column's name as a JSON string, with the colon.
    names: Vec<String>,
    array: bool,
    first: bool,
}

impl Json {
    /// One array of all rows.
    pub(super) fn array(columns: &[Column]) -> Self {
        let names = distinct_names(columns.iter().map(|column| column.name.as_str()));
        let name = |name: &String| {
            let mut text = String::new();
            cell::write_json_text(&mut text, name);
            text + ":"
        };
        Self { names: names.iter().map(name).collect(), array: true, first: true }
    }

    /// A row a line.
    pub(super) fn lines(columns: &[Column]) -> Self {
        Self { array: false, ..Self::array(columns) }
    }
}

impl Printer for Json {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(if self.array { b"[" } else { b"" })
    }

    fn batch(&mut self, out: &mut dyn Write, batch: &RecordBatch) -> Result<(), Failure> {
        let mut line = String::new();
        for row in 0..batch.num_rows() {
            line.clear();
            if self.array {
                line.push_str(if self.first { "\n" } else { ",\n" });
            }
            self.first = false;
            line.push('{');
            for (i, (name, column)) in self.names.iter().zip(batch.columns()).enumerate() {
                line.push_str(if i == 0 { "" } else { "," });
                line.push_str(name);
                cell::write_json(&mut line, column.as_ref(), row)?;
            }
            line.push_str(if self.array { "}" } else { "}\n" });
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> Result<(), Failure> {
        let end: &[u8] = match (self.array, self.first) {
            (true, true) => b"]\n",
            (true, false) => b"\n]\n",
            (false, _) => b"",
        };
        Ok(out.write_all(end)?)
    }
}
