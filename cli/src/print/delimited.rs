//! CSV and TSV: a header line, then a line a row.
//!
//! Invariants: NULL is an empty field and an empty text is `""`, so that they stay apart; a field is quoted when it
//! holds the delimiter, a quote or a line break, and quotes in it are doubled; lines end in `\n`.

use std::io::{self, Write};

use arrow::array::{Array, RecordBatch};

use super::{Column, Failure, Printer, cell};

/// A CSV or TSV printer.
pub(super) struct Delimited<'a> {
    columns: &'a [Column],
    delimiter: char,
    header: bool,
}

impl<'a> Delimited<'a> {
    pub(super) fn new(columns: &'a [Column], delimiter: char, header: bool) -> Self {
        Self { columns, delimiter, header }
    }

    fn write_field(&self, line: &mut String, text: &str) {
        let special = |c: char| c == self.delimiter || matches!(c, '"' | '\n' | '\r');
        if !text.is_empty() && !text.contains(special) {
            line.push_str(text);
            return;
        }
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    }
}

impl Printer for Delimited<'_> {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.header || self.columns.is_empty() {
            return Ok(());
        }
        let mut line = String::new();
        for (i, column) in self.columns.iter().enumerate() {
            if i > 0 {
                line.push(self.delimiter);
            }
            self.write_field(&mut line, &column.name);
        }
        line.push('\n');
        out.write_all(line.as_bytes())
    }

    fn batch(&mut self, out: &mut dyn Write, batch: &RecordBatch) -> Result<(), Failure> {
        let nulls: Vec<_> = batch.columns().iter().map(|column| column.logical_nulls()).collect();
        let (mut line, mut text) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            line.clear();
            for (i, (column, nulls)) in batch.columns().iter().zip(&nulls).enumerate() {
                if i > 0 {
                    line.push(self.delimiter);
                }
                if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                    text.clear();
                    cell::write_text(&mut text, column.as_ref(), row)?;
                    self.write_field(&mut line, &text);
                }
            }
            line.push('\n');
            out.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn end(&mut self, _out: &mut dyn Write) -> Result<(), Failure> {
        Ok(())
    }
}
