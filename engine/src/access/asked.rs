//! What aggregates ask of an index.
//!
//! Invariants: each place of the index is read once a range however many aggregates are of it. Groups are lists of ranges;
//! each result has a row a group.
//! Next: `values.rs`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use stoadb_storage::{
    LogicalType, Scalar, Statistics,
    index::{KeyRange, RangeView},
};

use super::{
    Candidate, Cost,
    values::{Place, Sequence},
};
use crate::{
    agg::{Call, Quantile, State, affine::Affine},
    error::{EngineError, Result},
    expr::Expr,
    op::aggregate::statistics::answers,
    plan::{AggregateCall, AggregateFunction as Function, ScanPlan},
};

/// The aggregates of a plan over an index.
pub(crate) struct Asked {
    /// What is read of each range, each once.
    reads: Vec<Read>,
    calls: Vec<Ask>,
}

/// A place of the index and what of it is needed.
struct Read {
    place: Place,
    /// The relation's column.
    column: usize,
    squares: bool,
    bounds: bool,
}

enum Ask {
    /// From the statistics of ranges; `None` for `count(*)`.
    State { read: Option<usize>, base: Call, call: Call, line: Option<Box<Affine>> },
    /// How many distinct values there are.
    Distinct { place: Place },
    /// Values by their ranks.
    Quantile { place: Place, call: Call, quantile: Quantile },
}

impl Asked {
    /// The aggregates of a scan's columns as an index answers them; `None` when it does not.
    ///
    /// # Errors
    /// `Value` for a constant that a function does not take.
    pub(crate) fn of(
        calls: &[AggregateCall],
        plan: &ScanPlan,
        candidate: &Candidate<'_>,
    ) -> Result<Option<Self>> {
        let mut asked = Self { reads: Vec::new(), calls: Vec::new() };
        for call in calls {
            match asked.ask(call, plan, candidate)? {
                Some(ask) => asked.calls.push(ask),
                None => return Ok(None),
            }
        }
        Ok(Some(asked))
    }

    fn ask(
        &mut self,
        aggregate: &AggregateCall,
        plan: &ScanPlan,
        candidate: &Candidate<'_>,
    ) -> Result<Option<Ask>> {
        let call = Call::new(aggregate)?;
        if aggregate.filter.is_some() || !call.order_by.is_empty() {
            return Ok(None);
        }
        let (arg, line) = match aggregate.args.as_slice() {
            [] if call.function == Function::CountStar => {
                return Ok(Some(Ask::State { read: None, base: call.clone(), call, line: None }));
            }
            [arg @ Expr::Column { .. }] => (arg.clone(), None),
            [arg] => match Affine::of(arg).filter(|line| line.derives(&call)) {
                Some(line) => (line.column.clone(), Some(line)),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let Expr::Column { index, ty } = &arg else { return Ok(None) };
        let Some(&column) = plan.projection.get(*index) else { return Ok(None) };
        let Some(place) = Place::of(column, candidate) else { return Ok(None) };
        if call.distinct {
            let counts = call.function == Function::Count && place.counts_distinct(candidate);
            return Ok(counts.then_some(Ask::Distinct { place }));
        }
        if matches!(
            call.function,
            Function::Median | Function::QuantileCont | Function::QuantileDisc
        ) {
            if !place.has_order(candidate) {
                return Ok(None);
            }
            let quantile = Quantile::new(&call)?;
            return Ok(Some(Ask::Quantile { place, call, quantile }));
        }
        let base = line.as_ref().map_or_else(|| call.clone(), |line| line.base(&call));
        if !call.parameters.is_empty() || !place.knows(base.function, ty) {
            return Ok(None);
        }
        let total = line.as_ref().is_none_or(Affine::is_total);
        let read = self.read(place, column, &base, !total);
        Ok(Some(Ask::State { read: Some(read), base, call, line: line.map(Box::new) }))
    }

    fn read(&mut self, place: Place, column: usize, call: &Call, guarded: bool) -> usize {
        let at = self.reads.iter().position(|read| read.place == place).unwrap_or_else(|| {
            self.reads.push(Read { place, column, squares: false, bounds: false });
            self.reads.len() - 1
        });
        let read = &mut self.reads[at];
        read.bounds |= guarded;
        match call.function {
            Function::Count | Function::Sum | Function::Avg => {}
            Function::Min | Function::Max | Function::BoolAnd | Function::BoolOr => {
                read.bounds = true;
            }
            _ => read.squares = true,
        }
        at
    }

    /// What reading so many ranges costs, without finding them.
    pub(crate) fn cost(&self, candidate: &Candidate<'_>, ranges: u64) -> Cost {
        let mut misses = 0;
        self.each_misses(candidate, |_, of| misses += of);
        Cost { misses: misses * ranges, bytes: 0 }
    }

    /// Calls `charge` with each column that is read, as far as it is known, and the lines that are touched.
    pub(crate) fn charge(
        &self,
        candidate: &Candidate<'_>,
        ranges: usize,
        mut charge: impl FnMut(usize, u64),
    ) {
        self.each_misses(candidate, |column, lines| charge(column, lines * ranges as u64));
    }

    fn each_misses(&self, candidate: &Candidate<'_>, mut f: impl FnMut(usize, u64)) {
        let parts = candidate.index.parts() as u64;
        let nodes = candidate.index.nodes();
        for read in &self.reads {
            let sums = 4 * parts * if read.squares { 2 } else { 1 };
            f(read.column, sums + if read.bounds { nodes } else { 0 });
        }
        // With one part an entry is found by its position and an included value by a walk down the matrix; with several the
        // entry by halving, and the value by asking all parts at each of some twenty halvings how many are less.
        let (select, included) = if parts > 1 { (16 * nodes, 160 * parts) } else { (1, 20) };
        let key = candidate.definition.keys[0].column;
        for ask in &self.calls {
            match ask {
                Ask::State { .. } => {}
                Ask::Distinct { .. } => f(key, 2 * parts),
                Ask::Quantile { place, quantile, .. } => {
                    let each = if matches!(place, Place::Include(_)) { included } else { select };
                    f(place.column(candidate), 2 * each * quantile.width() as u64);
                }
            }
        }
    }

    /// The results over groups of ranges, a row a group; `None` when the index does not know enough.
    ///
    /// # Errors
    /// `Value` when a result does not fit its type.
    pub(crate) fn answer(
        &self,
        candidate: &Candidate<'_>,
        groups: &[&[KeyRange]],
    ) -> Result<Option<Vec<ArrayRef>>> {
        let results = self.calls.iter().map(|ask| Results::new(ask, groups.len()));
        let mut results = results.collect::<Result<Vec<_>>>()?;
        let mut known: Vec<Vec<Statistics>> = vec![Vec::new(); self.reads.len()];
        for (group, ranges) in groups.iter().enumerate() {
            let views: Vec<RangeView<'_>> =
                ranges.iter().map(|range| candidate.index.view(range)).collect();
            for (read, known) in self.reads.iter().zip(&mut known) {
                known.clear();
                for (view, range) in views.iter().zip(*ranges) {
                    let (squares, bounds) = (read.squares, read.bounds);
                    known.push(read.place.statistics(candidate, view, range, squares, bounds)?);
                }
            }
            for (ask, result) in self.calls.iter().zip(&mut results) {
                let known = match ask {
                    Ask::State { read: Some(read), .. } => known[*read].as_slice(),
                    _ => &[],
                };
                if !result.add(ask, group, candidate, ranges, &views, known)? {
                    return Ok(None);
                }
            }
        }
        let finish = |(ask, result): (&Ask, Results)| result.finish(ask);
        self.calls.iter().zip(results).map(finish).collect::<Result<Vec<_>>>().map(Some)
    }
}

/// The results of one aggregate so far.
enum Results {
    State(State),
    Counts(Vec<i64>),
    /// The values that quantiles lie between, and where each quantile's are.
    Values {
        values: Vec<Scalar>,
        places: Vec<Option<(u32, u32, f64)>>,
    },
}

impl Results {
    fn new(ask: &Ask, groups: usize) -> Result<Self> {
        Ok(match ask {
            Ask::State { call, .. } => {
                let mut state = State::new(call)?;
                state.resize(groups);
                Self::State(state)
            }
            Ask::Distinct { .. } => Self::Counts(Vec::with_capacity(groups)),
            Ask::Quantile { .. } => Self::Values { values: Vec::new(), places: Vec::new() },
        })
    }

    /// Takes the next group; false when too little is known of it.
    fn add(
        &mut self,
        ask: &Ask,
        group: usize,
        candidate: &Candidate<'_>,
        ranges: &[KeyRange],
        views: &[RangeView<'_>],
        known: &[Statistics],
    ) -> Result<bool> {
        match (self, ask) {
            (Self::State(all), Ask::State { read, base, call, line }) => {
                let mut state = State::new(base)?;
                state.resize(1);
                for (at, view) in views.iter().enumerate() {
                    let known = read.and_then(|_| known.get(at));
                    let fits = line.as_ref().is_none_or(|line| holds(line, known));
                    if !fits || !state.absorb(view.count(), known) {
                        return Ok(false);
                    }
                }
                let state = match line {
                    Some(line) => state.affine(call, line.scale, line.offset)?,
                    None => state,
                };
                all.merge(&state, &[0], &[group as u32])?;
            }
            (Self::Counts(counts), Ask::Distinct { place }) => {
                let Some(count) = place.distinct(candidate, ranges)? else { return Ok(false) };
                counts.push(i64::try_from(count).unwrap_or(i64::MAX));
            }
            (Self::Values { values, places }, Ask::Quantile { place, quantile, .. }) => {
                let Some(sequence) = Sequence::new(*place, candidate, ranges)? else {
                    return Ok(false);
                };
                let count = usize::try_from(sequence.len()).unwrap_or(usize::MAX);
                for place in quantile.places(count) {
                    let Some(place) = place else {
                        places.push(None);
                        continue;
                    };
                    let at = values.len() as u32;
                    values.push(sequence.get(place.low as u64)?);
                    let mut high = at;
                    if place.high != place.low {
                        values.push(sequence.get(place.high as u64)?);
                        high += 1;
                    }
                    places.push(Some((at, high, place.weight)));
                }
            }
            _ => return Err(EngineError::Internal("results of another aggregate".into())),
        }
        Ok(true)
    }

    fn finish(self, ask: &Ask) -> Result<ArrayRef> {
        match (self, ask) {
            (Self::State(state), Ask::State { call, .. }) => state.finish(call),
            (Self::Counts(counts), _) => Ok(Arc::new(Int64Array::from(counts))),
            (Self::Values { values, places }, Ask::Quantile { call, quantile, .. }) => {
                let ty = call.args.first().unwrap_or(&LogicalType::Null);
                let null = Scalar::null(ty.clone());
                let all = if values.is_empty() { vec![null] } else { values };
                let arrays: Vec<_> = all.iter().map(|value| value.array().as_ref()).collect();
                let values = arrow::compute::concat(&arrays)?;
                let array = quantile.values(&values, places.into_iter(), call)?;
                let wanted = call.ty.to_arrow();
                match *array.data_type() == wanted {
                    true => Ok(array),
                    false => Ok(arrow::compute::cast(&array, &wanted)?),
                }
            }
            _ => Err(EngineError::Internal("results of another aggregate".into())),
        }
    }
}

/// Whether no value of a range lies where the expression would fail.
fn holds(line: &Affine, known: Option<&Statistics>) -> bool {
    let bound = |bound: &Option<Scalar>| bound.as_ref().and_then(Scalar::as_i128);
    line.is_total()
        || known.is_some_and(|known| {
            known.rows == known.nulls
                || bound(&known.min).is_some_and(|min| line.low <= min)
                    && bound(&known.max).is_some_and(|max| max <= line.high)
        })
}

impl Place {
    /// Whether statistics of the place can answer a function.
    fn knows(self, function: Function, ty: &LogicalType) -> bool {
        match self {
            Self::Part(_) => matches!(function, Function::Count | Function::Min | Function::Max),
            Self::Key | Self::Include(_) => answers(function, Some(ty)),
        }
    }
}
