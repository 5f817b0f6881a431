//! One version of a table: the relation that queries read.
//!
//! Invariants: a version never changes; `append` and `without` make the next one and share what stays. The position of
//! a row (counted from the table's first, deleted rows included) is the same in every later version of the same layout;
//! only compaction makes a new layout.
//! Next: `tail.rs`, `compact.rs`, `../catalog/`.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use crate::{
    BLOCK_ROWS,
    error::{Result, StorageError},
    index::Workers,
    ledger::{BlockUse, Level, ScanLedger},
    prune::{ColumnRange, Prune},
    scan::{Relation, Scan, ScanSpec},
    table::{
        column::Column,
        deletes::DeleteMask,
        indexes::{self, Indexes, TableIndex},
        info,
        moves::Moves,
        row_set::RowSet,
        rules::TableRules,
        scan::{Account, Live, Parts, Run, RunScan, blocks},
        segment::Segment,
        sketch::Sketch,
        stats::Statistics,
        tail::{Part, PartList},
    },
    types::Schema,
    vector::Vector,
};

/// A row of one version of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// The number of its segment within the version.
    pub segment: u32,
    /// Its number within the segment.
    pub row: u32,
}

/// A version of a table. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TableVersion {
    schema: Arc<Schema>,
    parts: Arc<PartList>,
    /// Rows, deleted ones included.
    positions: u64,
    /// Rows that are not deleted.
    rows: u64,
    version: u64,
    /// How often rows were moved to other positions.
    layout: u64,
    /// Bytes stored of each column, once somebody asked.
    stored: Arc<OnceLock<Box<[u64]>>>,
    rules: Arc<TableRules>,
    /// Those of the rules, in the order of `TableRules::definitions`.
    indexes: Indexes,
}

impl TableVersion {
    /// The first version of a table, of these rows.
    ///
    /// # Errors
    /// `Internal` when a segment's columns are not the schema's.
    pub fn new(schema: Arc<Schema>, segments: &[Arc<Segment>]) -> Result<Self> {
        let (parts, stored, rules) = Default::default();
        let (positions, rows, version, layout) = (0, 0, 0, 0);
        let indexes = Arc::new([]);
        let empty =
            Self { schema, parts, positions, rows, version, layout, stored, rules, indexes };
        empty.append(segments)
    }

    /// The version of a saved table: its settled parts and its tail as they were. Its indexes are built when they are
    /// first needed.
    ///
    /// # Errors
    /// `Internal` when a segment's columns are not the schema's, or the rules are not of these.
    pub(crate) fn restored(
        schema: Arc<Schema>,
        rules: Arc<TableRules>,
        settled: Vec<Part>,
        tail: Vec<Part>,
    ) -> Result<Self> {
        let mut table = Self::new(schema, &[])?;
        for part in settled.iter().chain(&tail) {
            table.check(&part.segment)?;
            table.positions += part.segment.rows() as u64;
            table.rows += part.live_rows() as u64;
        }
        table.parts = Arc::new(PartList { settled: Arc::new(settled), tail });
        let index =
            |definition| Ok(Arc::new(TableIndex::new(definition, &table.schema, &table.parts)?));
        table.indexes = rules.definitions().into_iter().map(index).collect::<Result<_>>()?;
        table.rules = rules;
        Ok(table)
    }

    /// That a segment's columns are the schema's.
    fn check(&self, segment: &Segment) -> Result<()> {
        let types = segment.columns().iter().map(|column| column.ty());
        match types.eq(self.schema.columns.iter().map(|column| &column.ty)) {
            true => Ok(()),
            false => Err(StorageError::Internal("a segment of another table".into())),
        }
    }

    /// The version with rows appended; small neighbouring segments are put together. O(rows appended), amortised.
    ///
    /// # Errors
    /// As `new`.
    pub fn append(&self, segments: &[Arc<Segment>]) -> Result<Self> {
        let mut next = Self { stored: Arc::default(), ..self.clone() };
        let built = indexes::appended(&self.indexes, &self.schema, segments, self.positions)?;
        let parts = Arc::make_mut(&mut next.parts);
        for segment in segments.iter().filter(|segment| segment.rows() > 0) {
            self.check(segment)?;
            next.positions += segment.rows() as u64;
            next.rows += segment.rows() as u64;
            parts.append(Arc::clone(segment))?;
        }
        next.indexes = indexes::next(&self.indexes, &next.parts, built);
        next.version += 1;
        Ok(next)
    }

    /// The positions of rows, ascending, each once.
    ///
    /// # Errors
    /// `Internal` when the version has no such row.
    pub fn positions_of(&self, rows: &[RowId]) -> Result<Vec<u64>> {
        let mut starts = vec![0_u64];
        for part in self.parts.iter() {
            starts.push(starts[starts.len() - 1] + part.segment.rows() as u64);
        }
        let position = |id: &RowId| {
            let segment = id.segment as usize;
            let missing = || StorageError::Internal(format!("there is no row {id:?}"));
            let start = starts.get(segment).copied().ok_or_else(missing)?;
            let position = start + u64::from(id.row);
            if starts.get(segment + 1).is_none_or(|&end| position >= end) {
                return Err(missing());
            }
            Ok(position)
        };
        let mut positions = rows.iter().map(position).collect::<Result<Vec<_>>>()?;
        positions.sort_unstable();
        positions.dedup();
        Ok(positions)
    }

    /// The version without the rows at the given positions. As `without_rows`.
    ///
    /// # Errors
    /// As `without_rows`.
    pub fn without(&self, positions: &[u64]) -> Result<Self> {
        self.without_rows(&positions.iter().copied().collect())
    }

    /// The version without some rows. O(segments + rows of those with deleted rows).
    ///
    /// # Errors
    /// `Conflict` when one of them was deleted before, `Internal` when there is no such row.
    pub fn without_rows(&self, gone: &RowSet) -> Result<Self> {
        if let Some(last) = gone.last().filter(|&last| last >= self.positions) {
            return Err(StorageError::Internal(format!("there is no row at position {last}")));
        }
        let mut next = self.clone();
        let parts = Arc::make_mut(&mut next.parts);
        let mut start = 0_u64;
        let settled = parts.settled.len();
        for i in 0..settled + parts.tail.len() {
            let rows = parts.get(i).segment.rows();
            let end = start + rows as u64;
            #[expect(clippy::cast_possible_truncation, reason = "rows of one segment")]
            let mut here =
                gone.within(start..end).map(|position| (position - start) as usize).peekable();
            if here.peek().is_some() {
                let part = match i.checked_sub(settled) {
                    None => &mut Arc::make_mut(&mut parts.settled)[i],
                    Some(in_tail) => &mut parts.tail[in_tail],
                };
                let mask = DeleteMask::with(part.deletes.as_deref(), rows, here);
                let gone = |_| StorageError::Conflict("a row was deleted meanwhile".into());
                part.deletes = Some(Arc::new(mask.map_err(gone)?));
            }
            start = end;
        }
        next.rows -= gone.len();
        let built = indexes::without(&self.indexes, gone, next.rows > 0)?;
        next.indexes = indexes::next(&self.indexes, &next.parts, built);
        next.version += 1;
        Ok(next)
    }

    /// The positions of all rows that are not deleted.
    pub fn live_rows(&self) -> RowSet {
        let mut start = 0_u64;
        let mut all = RowSet::default();
        for part in self.parts.iter() {
            let rows = part.segment.rows();
            let live =
                |&row: &usize| part.deletes.as_ref().is_none_or(|mask| !mask.is_deleted(row));
            all.insert_all((0..rows).filter(live).map(|row| start + row as u64));
            start += rows as u64;
        }
        all
    }

    /// Just some of the rows, none of which is deleted, for reading: without rules and indexes.
    ///
    /// # Errors
    /// As `without_rows`.
    pub fn only(&self, rows: &RowSet) -> Result<Self> {
        let bare = Self { rules: Arc::default(), indexes: Arc::new([]), ..self.clone() };
        bare.without_rows(&self.live_rows().iter().filter(|&row| !rows.contains(row)).collect())
    }

    /// The version of these parts, which hold the same rows in the same order at other positions: a new layout. `O(rows)`
    /// for each index that is built.
    ///
    /// # Errors
    /// `Internal` when the order is not kept.
    pub(crate) fn laid_out(&self, parts: PartList, moves: &Moves) -> Result<Self> {
        let positions = parts.iter().map(|part| part.segment.rows() as u64).sum();
        let rows = parts.iter().map(|part| part.live_rows() as u64).sum();
        debug_assert_eq!(rows, self.rows);
        let parts = Arc::new(parts);
        Ok(Self {
            schema: Arc::clone(&self.schema),
            indexes: indexes::moved(&self.indexes, &parts, moves)?,
            parts,
            positions,
            rows,
            version: self.version + 1,
            layout: self.layout + 1,
            stored: Arc::default(),
            rules: Arc::clone(&self.rules),
        })
    }

    /// The version of these parts, which are its own with other columns, under rules; `ordinal` says where its own columns
    /// are among the others.
    ///
    /// # Errors
    /// As `with_rules`.
    pub(crate) fn of_columns(
        &self,
        schema: Arc<Schema>,
        parts: PartList,
        ordinal: impl Fn(usize) -> Option<usize>,
        rules: Arc<TableRules>,
        workers: &dyn Workers,
    ) -> Result<Self> {
        let parts = Arc::new(parts);
        let kept = self.indexes.iter().filter_map(|index| {
            let definition = index.definition().with_columns(&ordinal)?;
            Some(Arc::new(index.defined(definition, &parts)))
        });
        let (indexes, stored) = (kept.collect(), Arc::default());
        let table = Self { schema, parts, stored, indexes, ..self.clone() };
        table.with_rules(rules, workers)
    }

    /// What the table demands of its rows.
    pub fn rules(&self) -> &Arc<TableRules> {
        &self.rules
    }

    /// The indexes: those of the keys of the rules in their order, then those that CREATE INDEX made.
    pub fn indexes(&self) -> &[Arc<TableIndex>] {
        &self.indexes
    }

    /// The version under other rules. Indexes that there were not are built by the workers.
    ///
    /// # Errors
    /// `Constraint` when two rows have the same key, `Unsupported` when a column of an index is of a type that has none.
    pub fn with_rules(&self, rules: Arc<TableRules>, workers: &dyn Workers) -> Result<Self> {
        let definitions = rules.definitions();
        let (known, parts) = (&self.indexes, &self.parts);
        let indexes = indexes::defined(definitions, known, &self.schema, parts, workers)?;
        Ok(Self { rules, indexes, version: self.version + 1, ..self.clone() })
    }

    /// How often rows were moved to other positions: positions mean the same in all versions of a layout.
    pub fn layout(&self) -> u64 {
        self.layout
    }

    /// The parts, to be shared.
    pub(crate) fn part_list(&self) -> Arc<PartList> {
        Arc::clone(&self.parts)
    }

    /// The columns' names with the bytes that they take.
    pub(crate) fn stored_columns(&self) -> impl Iterator<Item = (String, u64)> {
        let names = self.schema.columns.iter().map(|column| column.name.clone());
        names.zip(self.stored().iter().copied())
    }

    /// The runs of rows that a scan has to read, and how many rows that are at most. Charges what is consulted.
    pub(crate) fn runs(&self, spec: &ScanSpec) -> (Vec<Run>, u64) {
        let mut runs = vec![];
        for (i, part) in self.parts.iter().enumerate() {
            match &spec.prune {
                _ if part.live_rows() == 0 => {}
                None => runs.extend(blocks(i, part.segment.rows())),
                Some(prune) => keep_blocks(&mut runs, i, part, prune, &spec.ledger),
            }
        }
        let blocks = |part: &Part| part.segment.rows().div_ceil(BLOCK_ROWS);
        let skipped = self.parts.iter().map(blocks).sum::<usize>() - runs.len();
        spec.ledger.count_blocks(BlockUse::Skipped, skipped);
        let rows = match &spec.prune {
            None => self.rows,
            Some(_) => runs.iter().map(|run| run.rows as u64).sum::<u64>().min(self.rows),
        };
        (runs, rows)
    }

    /// How many rows there are, deleted ones included.
    pub fn positions(&self) -> u64 {
        self.positions
    }

    /// The number of the version; every change makes a greater one.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The columns, to be shared.
    pub fn shared_schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The segments with their deleted rows, in row order.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter()
    }

    /// The segments with their deleted rows, in row order, and whether each is settled, not of the tail.
    pub(crate) fn parts_settled(&self) -> impl Iterator<Item = (&Part, bool)> {
        let tail = self.parts.tail.iter().map(|part| (part, false));
        self.parts.settled.iter().map(|part| (part, true)).chain(tail)
    }

    /// Bytes stored.
    pub fn bytes(&self) -> u64 {
        self.stored().iter().sum()
    }

    /// Bytes stored of each column. O(segments + dictionaries' entries) the first time.
    fn stored(&self) -> &[u64] {
        let stored = |column| info::stored(self.parts.iter(), column);
        self.stored.get_or_init(|| (0..self.schema.len()).map(stored).collect())
    }
}

impl Relation for TableVersion {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn ledger(&self) -> Arc<ScanLedger> {
        ScanLedger::new(self.stored_columns())
    }

    fn column_range(&self, column: usize) -> ColumnRange {
        let mut whole = Statistics::default();
        for part in self.parts.iter() {
            whole.merge(&part.segment.columns()[column].statistics().whole);
        }
        whole.range(self.rows < self.positions)
    }

    fn distinct(&self, column: usize) -> Option<u64> {
        let mut all = Sketch::new();
        for part in self.parts.iter() {
            all.merge(part.segment.columns()[column].statistics().sketch.as_ref()?);
        }
        Some(all.estimate().min(self.rows))
    }

    fn scan(&self, spec: ScanSpec) -> Result<Box<dyn Scan>> {
        let (runs, rows) = self.runs(&spec);
        Ok(Box::new(RunScan::new(Arc::clone(&self.parts), runs, rows, spec)))
    }
}

/// Appends the blocks of a part that may hold a match.
fn keep_blocks(
    runs: &mut Vec<Run>,
    number: usize,
    part: &Part,
    prune: &Prune,
    ledger: &ScanLedger,
) {
    let deletes = part.deletes.is_some();
    let consult = |column: usize, statistics: &Statistics| {
        ledger.charge(column, Level::Metadata, statistics.bytes());
        statistics.range(deletes)
    };
    let columns = part.segment.columns();
    // Nothing is known of a column that the table does not have: positions.
    let known = |i: usize| columns.get(i).map(Column::statistics);
    let or_nothing = |known: Option<ColumnRange>| known.unwrap_or_default();
    if !prune.may_match(&|i| or_nothing(known(i).map(|known| consult(i, &known.whole)))) {
        return;
    }
    let rows = part.segment.rows();
    let all = || prune.all_match(&|i| columns[i].statistics().whole.range(deletes));
    if rows <= BLOCK_ROWS || all() {
        runs.extend(blocks(number, rows));
        return;
    }
    for (block, run) in blocks(number, rows).enumerate() {
        let of_block = |i| known(i).map(|known| consult(i, &known.blocks[block]));
        if prune.may_match(&|i| or_nothing(of_block(i))) {
            runs.push(run);
        }
    }
}

impl Parts for PartList {
    fn live(&self, part: usize, rows: Range<usize>) -> Live {
        self.get(part).deletes.as_ref().map_or(Live::All, |mask| mask.live(rows))
    }

    fn read(
        &self,
        part: usize,
        column: usize,
        rows: Range<usize>,
        account: &Account<'_>,
    ) -> Result<Vector> {
        let column = &self.get(part).segment.columns()[column];
        Ok(account.hand_out(column.read(rows)?))
    }

    fn statistics(&self, part: usize, column: usize, block: Option<usize>) -> Option<&Statistics> {
        let known = self.get(part).segment.columns().get(column)?.statistics();
        match block {
            None => Some(&known.whole),
            Some(block) => known.blocks.get(block),
        }
    }
}
