//! Markdown: a table as GitHub and most others read it.
//!
//! Invariants: bars and backslashes in values are escaped, line breaks become `<br>`; NULL is `NULL`; numbers align to
//! the right. Cells are not padded, so that nothing is held back.

use std::io::{self, Write};

use arrow::array::{Array, RecordBatch};

use super::{Column, Failure, Printer, cell};

/// A Markdown printer.
pub(super) struct Markdown<'a> {
    columns: &'a [Column],
    header: bool,
}

impl<'a> Markdown<'a> {
    pub(super) fn new(columns: &'a [Column], header: bool) -> Self {
        Self { columns, header }
    }
}

fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('|', "\\|");
    text.replace("\r\n", "<br>").replace(['\n', '\r'], "<br>")
}

impl Printer for Markdown<'_> {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        // The format knows no table without a header line: without names it is left blank.
        let name = |column: &Column| match self.header {
            true => format!(" {} |", escape(&column.name)),
            false => " |".to_owned(),
        };
        let rule = |column: &Column| if column.is_number() { "--:|" } else { "---|" };
        let names: String = self.columns.iter().map(name).collect();
        let rules: String = self.columns.iter().map(rule).collect();
        writeln!(out, "|{names}\n|{rules}")
    }

    fn batch(&mut self, out: &mut dyn Write, batch: &RecordBatch) -> Result<(), Failure> {
        let nulls: Vec<_> = batch.columns().iter().map(|column| column.logical_nulls()).collect();
        let (mut line, mut text) = (String::new(), String::new());
        for row in 0..batch.num_rows() {
            line.clear();
            line.push('|');
            for (column, nulls) in batch.columns().iter().zip(&nulls) {
                text.clear();
                if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                    cell::write_text(&mut text, column.as_ref(), row)?;
                } else {
                    text.push_str("NULL");
                }
                line.push(' ');
                line.push_str(&escape(&text));
                line.push_str(" |");
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
