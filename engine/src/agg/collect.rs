//! Aggregates that need their rows at the end: DISTINCT, ORDER BY, quantiles, frequencies, lists.
//!
//! Invariant: after `seal` rows are sorted by group and, within a group, in row order; DISTINCT keeps the first of equal
//! rows. Next: `ordered.rs`, `quantile.rs`, `spread.rs`, `frequency.rs`, which compute over sorted rows.

use std::cmp::Ordering;

use arrow::{
    array::{Array, ArrayRef, UInt32Array},
    compute,
};
use stoadb_storage::{LogicalType, Vector, ledger::array_bytes};

use super::{
    Call, Groups, State, frequency, input::OrderKeys, ordered, quantile, spread, table::KeyTable,
};
use crate::{
    error::{EngineError, Result},
    kernel::key::{KeyLayout, Keys},
    plan::AggregateFunction as Function,
};

/// The rows of all groups.
pub(crate) struct Collect {
    call: Call,
    groups: usize,
    chunks: Vec<Chunk>,
    /// Where each group's rows start in the only chunk, once sealed.
    starts: Vec<u32>,
}

struct Chunk {
    /// The arguments, then the order keys.
    columns: Vec<ArrayRef>,
    groups: Vec<u32>,
    /// The memory that its rows take. What they are slices of may be much larger, and shared by many chunks.
    bytes: u64,
}

impl Chunk {
    fn new(columns: Vec<ArrayRef>, groups: Vec<u32>) -> Self {
        let bytes = columns.iter().map(|column| array_bytes(column.as_ref())).sum::<u64>();
        let bytes = bytes + groups.len() as u64 * 4;
        Self { columns, groups, bytes }
    }
}

/// Rows sorted by group.
pub(crate) struct Sorted<'a> {
    pub(crate) columns: &'a [ArrayRef],
    /// The group of each row, ascending.
    pub(crate) groups: &'a [u32],
    /// Where each group starts; one more than groups.
    pub(crate) starts: &'a [u32],
}

impl Collect {
    pub(crate) fn new(call: &Call) -> Self {
        Self { call: call.clone(), groups: 0, chunks: Vec::new(), starts: Vec::new() }
    }

    pub(crate) fn resize(&mut self, groups: usize) {
        self.groups = groups;
    }

    /// Rows lie by group, which only `merge` can change.
    pub(crate) fn reorder(&mut self, _order: &[u32]) {}

    pub(crate) fn update(&mut self, args: &[Vector], groups: Groups<'_>) -> Result<()> {
        let columns = args.iter().map(|arg| Ok(arg.flatten()?)).collect::<Result<_>>()?;
        let groups = match groups {
            Groups::One(rows) => vec![0; rows],
            Groups::Ids(ids) => ids.to_vec(),
        };
        self.chunks.push(Chunk::new(columns, groups));
        Ok(())
    }

    /// Brings all chunks together, sorted by group.
    ///
    /// # Errors
    /// `Unsupported` for DISTINCT over types that cannot be compared, or more than 2^32 rows.
    pub(crate) fn seal(&mut self) -> Result<()> {
        let width = self.call.args.len() + self.call.order_by.len();
        let rows: usize = self.chunks.iter().map(|chunk| chunk.groups.len()).sum();
        if u32::try_from(rows).is_err() {
            return Err(EngineError::Unsupported(format!(
                "{} over {rows} collected rows",
                self.call.function.name()
            )));
        }
        let mut columns = Vec::with_capacity(width);
        for column in 0..width {
            let parts: Vec<&dyn Array> =
                self.chunks.iter().map(|chunk| chunk.columns[column].as_ref()).collect();
            if !parts.is_empty() {
                columns.push(compute::concat(&parts).map_err(internal)?);
            }
        }
        let mut groups: Vec<u32> =
            self.chunks.iter().flat_map(|c| c.groups.iter().copied()).collect();
        self.chunks.clear();
        if self.call.distinct && rows > 0 {
            let kept = distinct_rows(&columns[..self.call.args.len()], &self.call.args, &groups)?;
            if kept.len() < rows {
                take_all(&mut columns, &kept)?;
                groups = kept.iter().map(|&row| groups[row as usize]).collect();
            }
        }
        let (starts, order) = counting_sort(&groups, self.groups);
        if groups.windows(2).any(|w| w[0] > w[1]) {
            take_all(&mut columns, &order)?;
            groups.sort_unstable();
        }
        self.starts = starts;
        if !groups.is_empty() {
            self.chunks.push(Chunk::new(columns, groups));
        }
        Ok(())
    }

    /// # Errors
    /// `Internal` when chunks are inconsistent.
    pub(crate) fn merge(&mut self, other: &Self, from: &[u32], to: &[u32]) -> Result<()> {
        let Some(chunk) = other.chunks.first() else { return Ok(()) };
        let mut rows = Vec::new();
        let mut groups = Vec::new();
        for (&from, &to) in from.iter().zip(to) {
            let range = other.starts[from as usize]..other.starts[from as usize + 1];
            groups.resize(groups.len() + range.len(), to);
            rows.extend(range);
        }
        if rows.is_empty() {
            return Ok(());
        }
        let mut columns = chunk.columns.clone();
        take_all(&mut columns, &rows)?;
        self.chunks.push(Chunk::new(columns, groups));
        Ok(())
    }

    /// # Errors
    /// `Value` when a result is outside of its type; `Unsupported` as `seal`.
    pub(crate) fn finish(&self, call: &Call) -> Result<ArrayRef> {
        let mut all = Self::new(call);
        all.groups = self.groups;
        for chunk in &self.chunks {
            all.chunks.push(Chunk::new(chunk.columns.clone(), chunk.groups.clone()));
        }
        all.seal()?;
        let arguments = call.args.len();
        let mut chunk = all.chunks.pop().unwrap_or_else(|| {
            let empty = call.args.iter().map(|ty| arrow::array::new_empty_array(&ty.to_arrow()));
            Chunk::new(empty.collect(), Vec::new())
        });
        if chunk.columns.len() > arguments {
            let order = sort_rows(&chunk.columns[arguments..], call, &all.starts)?;
            chunk.columns.truncate(arguments);
            take_all(&mut chunk.columns, &order)?;
        }
        let sorted = Sorted { columns: &chunk.columns, groups: &chunk.groups, starts: &all.starts };
        match call.function {
            Function::Median | Function::QuantileCont | Function::QuantileDisc => {
                quantile::quantile(&sorted, call)
            }
            Function::Mad => spread::mad(&sorted, call),
            Function::Mode => frequency::mode(&sorted, call),
            Function::Entropy => frequency::entropy(&sorted, call),
            Function::Histogram => frequency::histogram(&sorted, call),
            Function::ApproxTopK => frequency::top(&sorted, call),
            _ if call.lists() => ordered::extremes(&sorted, call),
            Function::StringAgg => ordered::string_agg(&sorted, call),
            Function::List => ordered::list(&sorted, call),
            _ => simple(&sorted, call, self.groups),
        }
    }

    pub(crate) fn memory(&self) -> u64 {
        let rows = self.chunks.iter().map(|chunk| chunk.bytes).sum::<u64>();
        rows + self.starts.capacity() as u64 * 4
    }
}

/// Feeds the rows, now distinct and ordered, to the state of the plain function.
fn simple(sorted: &Sorted<'_>, call: &Call, groups: usize) -> Result<ArrayRef> {
    let plain = Call { distinct: false, order_by: Vec::new(), ..call.clone() };
    let mut state = State::new(&plain)?;
    state.resize(groups);
    let args: Vec<Vector> = sorted.columns.iter().map(|c| Vector::Flat(c.clone())).collect();
    state.update(&args, Groups::Ids(sorted.groups))?;
    state.seal()?;
    state.finish(&plain)
}

/// The first row of each distinct (group, arguments), ascending.
fn distinct_rows(columns: &[ArrayRef], types: &[LogicalType], groups: &[u32]) -> Result<Vec<u32>> {
    let mut layout = vec![(LogicalType::UInt32, false)];
    layout.extend(types.iter().map(|ty| (ty.clone(), true)));
    let layout = KeyLayout::new(&layout)?;
    let ids: ArrayRef = std::sync::Arc::new(UInt32Array::from(groups.to_vec()));
    let mut vectors = vec![Vector::Flat(ids)];
    vectors.extend(columns.iter().map(|column| Vector::Flat(column.clone())));
    let mut keys = Keys::new(layout.width());
    layout.pack(&vectors, groups.len(), &mut keys)?;
    let (mut hashes, mut ids) = (Vec::new(), Vec::new());
    keys.hashes(&mut hashes);
    let mut table = KeyTable::new(layout.width());
    table.insert(&keys, &hashes, 0..groups.len() as u32, &mut ids);
    let mut next = 0;
    let mut rows = Vec::with_capacity(table.len());
    for (row, &id) in ids.iter().enumerate() {
        if id == next {
            rows.push(row as u32);
            next += 1;
        }
    }
    Ok(rows)
}

/// Where each group's rows start, and the rows sorted by group, stable.
fn counting_sort(groups: &[u32], count: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0_u32; count + 1];
    for &group in groups {
        starts[group as usize + 1] += 1;
    }
    for group in 0..count {
        starts[group + 1] += starts[group];
    }
    let mut next = starts.clone();
    let mut order = vec![0; groups.len()];
    for (row, &group) in groups.iter().enumerate() {
        let place = &mut next[group as usize];
        order[*place as usize] = row as u32;
        *place += 1;
    }
    (starts, order)
}

/// The rows sorted by the order keys within each group, ties in row order.
fn sort_rows(keys: &[ArrayRef], call: &Call, starts: &[u32]) -> Result<Vec<u32>> {
    let mut parts = Vec::with_capacity(keys.len());
    for (key, column) in call.order_by.iter().zip(keys) {
        let order = OrderKeys::new(&Vector::Flat(column.clone()))?;
        parts.push((key, order, column.logical_nulls()));
    }
    let compare = |&a: &u32, &b: &u32| {
        let (a, b) = (a as usize, b as usize);
        for (key, order, nulls) in &parts {
            let null = |row| nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            let ordering = match (null(a), null(b)) {
                (true, true) => Ordering::Equal,
                (true, false) if key.nulls_first => Ordering::Less,
                (true, false) => Ordering::Greater,
                (false, true) if key.nulls_first => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) if key.descending => order.compare(b, a),
                (false, false) => order.compare(a, b),
            };
            if ordering.is_ne() {
                return ordering;
            }
        }
        Ordering::Equal
    };
    let rows = starts.last().copied().unwrap_or(0);
    let mut order: Vec<u32> = (0..rows).collect();
    for group in starts.windows(2) {
        order[group[0] as usize..group[1] as usize].sort_by(compare);
    }
    Ok(order)
}

/// Takes the same rows of all columns.
pub(crate) fn take_all(columns: &mut [ArrayRef], rows: &[u32]) -> Result<()> {
    let rows = UInt32Array::from(rows.to_vec());
    for column in columns {
        *column = compute::take(column, &rows, None).map_err(internal)?;
    }
    Ok(())
}

/// The values of some rows; NULL for none.
pub(crate) fn take_some(values: &ArrayRef, rows: Vec<Option<u32>>) -> Result<ArrayRef> {
    if rows.iter().all(Option::is_some) {
        let mut columns = [values.clone()];
        take_all(&mut columns, &rows.into_iter().flatten().collect::<Vec<_>>())?;
        let [column] = columns;
        return Ok(column);
    }
    if values.is_empty() {
        return Ok(arrow::array::new_null_array(values.data_type(), rows.len()));
    }
    compute::take(values, &UInt32Array::from(rows), None).map_err(internal)
}

fn internal(error: arrow::error::ArrowError) -> EngineError {
    EngineError::Internal(error.to_string())
}
