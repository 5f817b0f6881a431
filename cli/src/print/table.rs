//! Tables for people: a box with names, types and values.
//!
//! Invariants: only rows that are printed are held: with `max_rows` the first half and the last; what is left out is
//! counted below the table. A table never exceeds the given width as long as its first column fits: wide values are cut
//! first, then columns are left out from the middle.

use std::{
    collections::VecDeque,
    io::{self, Write},
};

use arrow::{
    array::{Array, RecordBatch},
    error::ArrowError,
};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Column, Failure, Options, Printer, cell};

const ELLIPSIS: &str = "\u{2026}";
const DOT: &str = "\u{b7}";
const HORIZONTAL: &str = "\u{2500}";
const VERTICAL: &str = "\u{2502}";
/// Left, middle and right of the first, the dividing and the last line.
const TOP: [&str; 3] = ["\u{250c}", "\u{252c}", "\u{2510}"];
const MIDDLE: [&str; 3] = ["\u{251c}", "\u{253c}", "\u{2524}"];
const BOTTOM: [&str; 3] = ["\u{2514}", "\u{2534}", "\u{2518}"];
/// Values are not cut below this width before columns are left out.
const LEAST_CUT: usize = 20;

/// A table printer.
pub(super) struct Table<'a> {
    columns: &'a [Column],
    options: Options,
    /// The first rows, as text.
    head: Vec<Vec<String>>,
    /// Batches that hold the last rows.
    tail: VecDeque<RecordBatch>,
    tail_rows: usize,
    rows: u64,
}

#[derive(Clone, Copy)]
enum Align {
    Left,
    Right,
    Centre,
}

/// A printed column: of the result, or the one that stands for those left out.
struct Slot {
    column: Option<usize>,
    width: usize,
}

impl<'a> Table<'a> {
    pub(super) fn new(columns: &'a [Column], options: Options) -> Self {
        let (head, tail) = (Vec::new(), VecDeque::new());
        Self { columns, options, head, tail, tail_rows: 0, rows: 0 }
    }

    fn most_head(&self) -> usize {
        self.options.max_rows.map_or(usize::MAX, |rows| rows.div_ceil(2))
    }

    fn most_tail(&self) -> usize {
        self.options.max_rows.map_or(0, |rows| rows / 2)
    }

    /// The width of every column, from its name, type and printed values.
    fn widths(&self, rows: &[Vec<String>]) -> Vec<usize> {
        let width = |(i, column): (usize, &Column)| {
            let header = match self.options.header {
                true => column_text(&column.name).width().max(column.type_name.width()),
                false => 0,
            };
            rows.iter().map(|row| row[i].width()).fold(header, usize::max)
        };
        self.columns.iter().enumerate().map(width).collect()
    }

    /// Cuts widths and leaves columns out until the table fits.
    fn slots(&self, mut widths: Vec<usize>) -> Vec<Slot> {
        let slot = |(i, width): (usize, &usize)| Slot { column: Some(i), width: *width };
        let Some(most) = self.options.width else {
            return widths.iter().enumerate().map(slot).collect();
        };
        let total = |widths: &[usize], cut: usize| {
            1 + widths.iter().map(|width| (*width).min(cut) + 3).sum::<usize>()
        };
        let widest = widths.iter().copied().max().unwrap_or(0);
        let (mut low, mut high) = (LEAST_CUT.min(widest), widest);
        while low < high {
            let cut = (low + high).div_ceil(2);
            if total(&widths, cut) <= most { low = cut } else { high = cut - 1 }
        }
        widths.iter_mut().for_each(|width| *width = (*width).min(low));
        if total(&widths, low) <= most {
            return widths.iter().enumerate().map(slot).collect();
        }
        // The frame's first line and the column of dots.
        let mut room = most.saturating_sub(1 + 4);
        let (mut left, mut right) = (0, widths.len());
        while left < right {
            let from_left = left <= widths.len() - right;
            let width = widths[if from_left { left } else { right - 1 }] + 3;
            if width > room && left > 0 {
                break;
            }
            room = room.saturating_sub(width);
            if from_left { left += 1 } else { right -= 1 }
        }
        let slots = |range: std::ops::Range<usize>| {
            range.map(|i| Slot { column: Some(i), width: widths[i] }).collect::<Vec<_>>()
        };
        let mut all = slots(0..left);
        all.push(Slot { column: None, width: 1 });
        all.extend(slots(right..widths.len()));
        all
    }

    /// `12 rows (4 shown), 30 columns (5 shown)`.
    fn counts(&self, shown_rows: usize, slots: &[Slot]) -> String {
        let count = |count: u64, shown: u64, noun: &str| {
            let plural = if count == 1 { "" } else { "s" };
            let shown = if shown < count { format!(" ({shown} shown)") } else { String::new() };
            format!("{count} {noun}{plural}{shown}")
        };
        let rows = count(self.rows, shown_rows as u64, "row");
        let shown = slots.iter().filter(|slot| slot.column.is_some()).count();
        if shown == self.columns.len() {
            return rows;
        }
        let columns = count(self.columns.len() as u64, shown as u64, "column");
        format!("{rows}, {columns}")
    }

    fn header(&self, out: &mut dyn Write, slots: &[Slot]) -> io::Result<()> {
        let names = |i: usize| column_text(&self.columns[i].name);
        let types = |i: usize| self.columns[i].type_name.clone();
        write_row(out, slots, |column| (column.map_or(ELLIPSIS.into(), names), Align::Centre))?;
        write_row(out, slots, |column| (column.map_or(String::new(), types), Align::Centre))?;
        write_rule(out, slots, MIDDLE)
    }
}

impl Printer for Table<'_> {
    fn begin(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn batch(&mut self, _out: &mut dyn Write, batch: &RecordBatch) -> Result<(), Failure> {
        self.rows += batch.num_rows() as u64;
        let first = batch.num_rows().min(self.most_head() - self.head.len());
        self.head.extend(texts(batch, 0..first)?);
        let rest = batch.num_rows() - first;
        if rest == 0 || self.most_tail() == 0 {
            return Ok(());
        }
        self.tail.push_back(batch.slice(first, rest));
        self.tail_rows += rest;
        while let Some(oldest) = self.tail.front().map(RecordBatch::num_rows)
            && self.tail_rows - oldest >= self.most_tail()
        {
            self.tail.pop_front();
            self.tail_rows -= oldest;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut dyn Write) -> Result<(), Failure> {
        let mut rows = std::mem::take(&mut self.head);
        let head = rows.len();
        let mut skip = self.tail_rows.saturating_sub(self.most_tail());
        for batch in std::mem::take(&mut self.tail) {
            rows.extend(texts(&batch, skip.min(batch.num_rows())..batch.num_rows())?);
            skip = skip.saturating_sub(batch.num_rows());
        }
        let slots = self.slots(self.widths(&rows));
        if !self.columns.is_empty() {
            write_rule(out, &slots, TOP)?;
            if self.options.header {
                self.header(out, &slots)?;
            }
            let hidden = rows.len() as u64 != self.rows;
            for (i, row) in rows.iter().enumerate() {
                if hidden && i == head {
                    write_row(out, &slots, |_| (DOT.into(), Align::Centre))?;
                }
                write_row(out, &slots, |column| match column {
                    None => (ELLIPSIS.into(), Align::Left),
                    Some(i) if self.columns[i].is_number() => (row[i].clone(), Align::Right),
                    Some(i) => (row[i].clone(), Align::Left),
                })?;
            }
            if hidden && head == rows.len() {
                write_row(out, &slots, |_| (DOT.into(), Align::Centre))?;
            }
            write_rule(out, &slots, BOTTOM)?;
        }
        if self.options.header {
            writeln!(out, "{}", self.counts(rows.len(), &slots))?;
        }
        Ok(())
    }
}

/// The texts of some rows of a batch.
fn texts(
    batch: &RecordBatch,
    rows: std::ops::Range<usize>,
) -> Result<Vec<Vec<String>>, ArrowError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let nulls: Vec<_> = batch.columns().iter().map(|column| column.logical_nulls()).collect();
    let row = |row: usize| {
        let cell = |(column, nulls): (_, &Option<arrow::buffer::NullBuffer>)| {
            let column: &arrow::array::ArrayRef = column;
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                return Ok("NULL".to_owned());
            }
            let mut text = String::new();
            cell::write_text(&mut text, column.as_ref(), row)?;
            Ok(column_text(&text))
        };
        batch.columns().iter().zip(&nulls).map(cell).collect()
    };
    rows.map(row).collect()
}

/// The text on one line: control characters as escapes.
fn column_text(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// The text cut to a width, with an ellipsis where something was cut.
fn cut(text: String, width: usize) -> String {
    if text.width() <= width {
        return text;
    }
    let mut kept = String::new();
    let mut left = width.saturating_sub(1);
    for c in text.chars() {
        let Some(rest) = left.checked_sub(c.width().unwrap_or(0)) else { break };
        left = rest;
        kept.push(c);
    }
    if width > 0 {
        kept.push_str(ELLIPSIS);
    }
    kept
}

fn write_rule(out: &mut dyn Write, slots: &[Slot], ends: [&str; 3]) -> io::Result<()> {
    for (i, slot) in slots.iter().enumerate() {
        let left = ends[if i == 0 { 0 } else { 1 }];
        write!(out, "{left}{}", HORIZONTAL.repeat(slot.width + 2))?;
    }
    writeln!(out, "{}", ends[2])
}

fn write_row(
    out: &mut dyn Write,
    slots: &[Slot],
    text: impl Fn(Option<usize>) -> (String, Align),
) -> io::Result<()> {
    for slot in slots {
        let (text, align) = text(slot.column);
        let text = cut(text, slot.width);
        let space = slot.width.saturating_sub(text.width());
        let left = match align {
            Align::Left => 0,
            Align::Right => space,
            Align::Centre => space / 2,
        };
        // A width in a format string is limited to 16 bits.
        let (left, right) = (" ".repeat(left), " ".repeat(space - left));
        write!(out, "{VERTICAL} {left}{text}{right} ")?;
    }
    writeln!(out, "{VERTICAL}")
}
