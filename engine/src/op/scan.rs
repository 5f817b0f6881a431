//! Scan: reads a relation through its storage scan, the filter included.
//!
//! Invariant: what the filter reads and what the projection returns is all that is touched.

use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering};

use stoadb_storage::{
    LocalRowFilter, MorselScan, Prune, RowFilter, Scan, ScanSpec, Selection, Vector,
};

use crate::{
    access::Keys,
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    eval::{Evaluator, Program},
    expr::Expr,
    op::{LocalSource, Source},
    plan::ScanPlan,
};

/// What is known of a scan besides its plan.
#[derive(Default)]
pub struct Learnt {
    /// Predicates that only rows without consequence fail, for statistics.
    pub prunes: Vec<Prune>,
    /// Filters that only such rows fail.
    pub filters: Vec<Arc<dyn RowFilter>>,
    /// Keys that only such rows lack, for indexes.
    pub keys: Vec<Keys>,
}

impl Learnt {
    /// Whether it is nothing.
    pub fn is_empty(&self) -> bool {
        self.prunes.is_empty() && self.filters.is_empty() && self.keys.is_empty()
    }
}

/// An opened scan.
pub struct TableScan {
    scan: Arc<dyn Scan>,
    /// The morsels that are read; `None` for all.
    only: Option<Arc<[usize]>>,
}

impl TableScan {
    /// Opens a scan whose vectors have at most `vector_rows` rows; `learnt` is what joins know of its rows, `rows` are the
    /// positions of the only rows to be read.
    ///
    /// # Errors
    /// When files cannot be opened or the filter does not compile.
    pub fn open(
        plan: &ScanPlan,
        learnt: Learnt,
        rows: Option<Arc<[u64]>>,
        vector_rows: usize,
        context: &QueryContext,
    ) -> Result<Self> {
        let (relation, ledger) = context.relation(plan.relation)?;
        let prune = plan.prune_with(&learnt.prunes);
        let filter = row_filter(plan, learnt.filters, context)?;
        let scan = relation.scan(ScanSpec {
            projection: plan.projection.clone(),
            prune,
            filter,
            rows,
            vector_size: vector_rows,
            ledger: Arc::clone(ledger),
        })?;
        context.progress().rows_total.fetch_add(scan.rows(), Ordering::Relaxed);
        Ok(Self { scan: scan.into(), only: None })
    }

    /// The storage's scan.
    pub fn scan(&self) -> &dyn Scan {
        self.scan.as_ref()
    }

    /// Some of the scan's morsels, which ascend.
    pub fn only(self, morsels: Vec<usize>) -> Self {
        Self { only: Some(morsels.into()), ..self }
    }
}

impl Source for TableScan {
    fn morsels(&self) -> usize {
        self.only.as_ref().map_or_else(|| self.scan.morsels(), |only| only.len())
    }

    fn local(&self, context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>> {
        let (scan, context) = (Arc::clone(&self.scan), Arc::clone(context));
        Ok(Box::new(LocalScan { scan, only: self.only.clone(), context, morsel: None }))
    }
}

struct LocalScan {
    scan: Arc<dyn Scan>,
    only: Option<Arc<[usize]>>,
    context: Arc<QueryContext>,
    morsel: Option<Box<dyn MorselScan>>,
}

impl LocalSource for LocalScan {
    fn begin(&mut self, morsel: usize) -> Result<()> {
        let morsel = self.only.as_ref().map_or(Some(&morsel), |only| only.get(morsel));
        let missing = || EngineError::Internal("a scan has no such morsel".into());
        self.morsel = Some(self.scan.open(*morsel.ok_or_else(missing)?)?);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        let Some(morsel) = &mut self.morsel else { return Ok(None) };
        let Some(batch) = morsel.next()? else {
            self.morsel = None;
            return Ok(None);
        };
        self.context.progress().rows_done.fetch_add(batch.rows as u64, Ordering::Relaxed);
        Ok(Some(Batch { columns: batch.columns, rows: batch.rows, selection: batch.selection }))
    }
}

/// The filter of a plan and further ones as one.
///
/// # Errors
/// When the filter does not compile.
pub(crate) fn row_filter(
    plan: &ScanPlan,
    others: Vec<Arc<dyn RowFilter>>,
    context: &QueryContext,
) -> Result<Option<Arc<dyn RowFilter>>> {
    let filter = match &plan.filter {
        Some(filter) => Some(Arc::new(ExprFilter::new(filter, context)?) as Arc<dyn RowFilter>),
        None => None,
    };
    let both = |first, second| Arc::new(Both::new(first, second)) as Arc<dyn RowFilter>;
    Ok(filter.into_iter().chain(others).reduce(both))
}

/// Two filters, the second one of the rows that the first one keeps.
struct Both {
    filters: [Arc<dyn RowFilter>; 2],
    columns: Vec<usize>,
}

impl Both {
    fn new(first: Arc<dyn RowFilter>, second: Arc<dyn RowFilter>) -> Self {
        let mut columns = [first.columns(), second.columns()].concat();
        columns.sort_unstable();
        columns.dedup();
        Self { filters: [first, second], columns }
    }
}

impl RowFilter for Both {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn local(&self) -> stoadb_storage::Result<Box<dyn LocalRowFilter>> {
        let place = |column: &usize| self.columns.partition_point(|other| other < column);
        let places = |filter: &Arc<dyn RowFilter>| filter.columns().iter().map(place).collect();
        let [first, second] = &self.filters;
        let filters = [(first.local()?, places(first)), (second.local()?, places(second))];
        Ok(Box::new(LocalBoth { filters }))
    }
}

/// Each filter with the places of its columns.
struct LocalBoth {
    filters: [(Box<dyn LocalRowFilter>, Vec<usize>); 2],
}

impl LocalRowFilter for LocalBoth {
    fn select(
        &mut self,
        columns: &[Vector],
        rows: usize,
    ) -> stoadb_storage::Result<Option<Selection>> {
        let [(first, first_places), (second, second_places)] = &mut self.filters;
        let of = |places: &[usize]| -> Vec<Vector> {
            places.iter().map(|&place| columns[place].clone()).collect()
        };
        let own = of(first_places);
        let kept = first.select(&own, rows)?;
        let own = of(second_places);
        let Some(kept) = kept else { return second.select(&own, rows) };
        if kept.is_empty() {
            return Ok(Some(kept));
        }
        let own = own.iter().map(|column| column.select(&kept));
        let own = own.collect::<stoadb_storage::Result<Vec<_>>>()?;
        Ok(Some(match second.select(&own, kept.len())? {
            None => kept,
            Some(inner) => kept.compose(&inner),
        }))
    }
}

/// A predicate over a relation's columns, evaluated by the scan.
struct ExprFilter {
    columns: Vec<usize>,
    program: Arc<Program>,
    /// Evaluators that morsels have given back: their caches per dictionary live on.
    idle: Arc<Mutex<Vec<Evaluator>>>,
}

impl ExprFilter {
    fn new(filter: &Expr, context: &QueryContext) -> Result<Self> {
        let mut columns = Vec::new();
        filter.for_each_column(&mut |column| columns.push(column));
        columns.sort_unstable();
        columns.dedup();
        let mut filter = filter.clone();
        filter.map_columns(&mut |column| columns.partition_point(|&other| other < column));
        let program = Program::compile(&[filter], context)?;
        Ok(Self { columns, program, idle: Arc::default() })
    }
}

impl RowFilter for ExprFilter {
    fn columns(&self) -> &[usize] {
        &self.columns
    }

    fn local(&self) -> stoadb_storage::Result<Box<dyn LocalRowFilter>> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let evaluator = idle.unwrap_or_else(|| Evaluator::new(&self.program));
        Ok(Box::new(LocalExprFilter { evaluator: Some(evaluator), idle: Arc::clone(&self.idle) }))
    }
}

struct LocalExprFilter {
    /// `None` only while it is dropped.
    evaluator: Option<Evaluator>,
    idle: Arc<Mutex<Vec<Evaluator>>>,
}

impl LocalRowFilter for LocalExprFilter {
    fn select(
        &mut self,
        columns: &[Vector],
        rows: usize,
    ) -> stoadb_storage::Result<Option<Selection>> {
        let Some(evaluator) = &mut self.evaluator else { return Ok(None) };
        Ok(evaluator.select(&Batch::new(columns.to_vec(), rows))?)
    }
}

impl Drop for LocalExprFilter {
    fn drop(&mut self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.evaluator.take());
    }
}
