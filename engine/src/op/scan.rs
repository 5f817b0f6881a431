//! Scan: reads a relation through its storage scan, the filter included.
//!
//! Invariant: what the filter reads and what the projection returns is all that is touched.

use std::sync::{Arc, Mutex, PoisonError, atomic::Ordering};

use stoadb_storage::{
    LocalRowFilter, MorselScan, Prune, RowFilter, Scan, ScanSpec, Selection, Vector,
};

use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    eval::{Evaluator, Program},
    expr::Expr,
    op::{LocalSource, Source},
    plan::ScanPlan,
};

/// An opened scan.
pub struct TableScan {
    scan: Arc<dyn Scan>,
    /// The morsels that are read; `None` for all.
    only: Option<Arc<[usize]>>,
}

impl TableScan {
    /// Opens a scan whose vectors have at most `vector_rows` rows; `prune` is what is known besides the plan (join keys'
    /// ranges), `rows` the positions of the only rows to be read.
    ///
    /// # Errors
    /// When files cannot be opened or the filter does not compile.
    pub fn open(
        plan: &ScanPlan,
        prune: Vec<Prune>,
        rows: Option<Arc<[u64]>>,
        vector_rows: usize,
        context: &QueryContext,
    ) -> Result<Self> {
        let (relation, ledger) = context.relation(plan.relation)?;
        let filter = match &plan.filter {
            Some(filter) => Some(Arc::new(ExprFilter::new(filter, context)?) as Arc<dyn RowFilter>),
            None => None,
        };
        let mut prune: Vec<_> = plan.prune.iter().cloned().chain(prune).collect();
        let scan = relation.scan(ScanSpec {
            projection: plan.projection.clone(),
            prune: if prune.len() > 1 { Some(Prune::And(prune)) } else { prune.pop() },
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
