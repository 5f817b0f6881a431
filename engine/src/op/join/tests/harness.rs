//! Tables as rows of scalars, their vectors in every encoding, a driver of the operators' traits, and the oracle.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, UInt8Array, UInt16Array, UInt32Array},
    compute,
    datatypes::IntervalMonthDayNanoType,
};
use stoadb_storage::{
    ColumnDef, DictionaryValues, LogicalType, Scalar, Schema, Selection, Vector,
    vector::{DictionaryVector, NarrowVector},
};

use super::super::JoinBuild;
use crate::{
    batch::Batch,
    context::{QueryContext, QuerySettings},
    error::Result,
    expr::{CompareOp, Expr},
    op::{Sink, Step},
    plan::{JoinKey, JoinKind, JoinPlan, NearestKey, Plan},
    scheduler::Workers,
};

/// A small reproducible source of randomness.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}

pub(super) type Row = Vec<Scalar>;

/// A residual as a function of two rows.
pub(super) type PairTest = fn(&Row, &Row) -> bool;

/// A table: types and rows, cut into morsels of batches.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) types: Vec<LogicalType>,
    pub(super) rows: Vec<Row>,
}

pub(super) fn array_of(ty: &LogicalType, values: &[Scalar]) -> ArrayRef {
    if values.is_empty() {
        return arrow::array::new_empty_array(&ty.to_arrow());
    }
    let arrays: Vec<&dyn Array> = values.iter().map(|value| value.array().as_ref()).collect();
    compute::concat(&arrays).unwrap()
}

fn narrow(ty: &LogicalType, values: &[Scalar], random: &mut Random) -> Option<Vector> {
    let is_narrow = ty.is_integer()
        || matches!(
            ty,
            LogicalType::Decimal { .. }
                | LogicalType::Date
                | LogicalType::Time(_)
                | LogicalType::Timestamp(..)
                | LogicalType::Duration(_)
        );
    if !is_narrow || values.iter().any(|v| !v.is_null() && v.as_i128().is_none()) {
        return None;
    }
    let wide: Vec<Option<i128>> = values.iter().map(Scalar::as_i128).collect();
    let fits = |v: &i128| i64::try_from(*v).is_ok();
    if !wide.iter().flatten().all(fits) {
        return None;
    }
    let longs: Vec<Option<i64>> = wide.iter().map(|v| v.map(|v| v as i64)).collect();
    let base = longs.iter().flatten().copied().min().unwrap_or(0);
    let spread = longs.iter().flatten().map(|v| v.wrapping_sub(base) as u64).max().unwrap_or(0);
    let from = |v: &Option<i64>| v.map(|v| v.wrapping_sub(base) as u64);
    let (base, offsets): (i64, ArrayRef) = match random.below(2) {
        0 if spread < 1 << 8 => {
            let offsets = longs.iter().map(|v| from(v).map(|v| v as u8));
            (base, Arc::new(offsets.collect::<UInt8Array>()))
        }
        _ if spread < 1 << 16 => {
            let offsets = longs.iter().map(|v| from(v).map(|v| v as u16));
            (base, Arc::new(offsets.collect::<UInt16Array>()))
        }
        _ if spread < 1 << 32 => {
            let offsets = longs.iter().map(|v| from(v).map(|v| v as u32));
            (base, Arc::new(offsets.collect::<UInt32Array>()))
        }
        _ => (0, Arc::new(longs.into_iter().collect::<Int64Array>())),
    };
    Some(Vector::Narrow(NarrowVector { ty: ty.clone(), base, offsets, charge: None }))
}

fn dictionary(ty: &LogicalType, values: &[Scalar], random: &mut Random) -> Vector {
    let mut entries: Vec<Scalar> = Vec::new();
    let mut codes: Vec<Option<u8>> = Vec::new();
    for value in values {
        let known = entries.iter().position(|entry| entry == value);
        // Entries may repeat, and NULL may be an entry or a NULL code.
        if value.is_null() && random.below(2) == 0 {
            codes.push(None);
        } else if let Some(known) = known.filter(|_| random.below(4) > 0) {
            codes.push(Some(known as u8));
        } else if entries.len() < 250 {
            codes.push(Some(entries.len() as u8));
            entries.push(value.clone());
        } else {
            return Vector::Flat(array_of(ty, values));
        }
    }
    Vector::Dictionary(DictionaryVector {
        codes: Arc::new(UInt8Array::from(codes)),
        dictionary: Arc::new(DictionaryValues::new(array_of(ty, &entries))),
        charge: None,
    })
}

/// A vector of values in some encoding.
pub(super) fn vector(ty: &LogicalType, values: &[Scalar], random: &mut Random) -> Vector {
    let first = values.first();
    if let Some(first) = first.filter(|first| values.iter().all(|v| v == *first))
        && random.below(2) == 0
    {
        return Vector::constant(first.clone(), values.len());
    }
    match random.below(3) {
        0 => Vector::Flat(array_of(ty, values)),
        1 if !ty.is_nested() && *ty != LogicalType::Null => dictionary(ty, values, random),
        _ => narrow(ty, values, random).unwrap_or_else(|| Vector::Flat(array_of(ty, values))),
    }
}

impl Table {
    /// Morsels of batches whose counting rows are the table's rows, some behind selections.
    pub(super) fn morsels(&self, random: &mut Random, most: usize) -> Vec<Vec<Batch>> {
        let mut morsels = vec![Vec::new()];
        let mut at = 0;
        while at < self.rows.len() {
            let rows = (1 + random.below(most)).min(self.rows.len() - at);
            let batch = self.batch(&self.rows[at..at + rows], random);
            morsels.last_mut().unwrap().push(batch);
            at += rows;
            for _ in 0..random.below(3) {
                morsels.push(Vec::new());
            }
        }
        morsels
    }

    fn batch(&self, rows: &[Row], random: &mut Random) -> Batch {
        let selected = random.below(2) == 0;
        let mut all: Vec<&Row> = Vec::new();
        let mut selection = Vec::new();
        for row in rows {
            if selected && random.below(3) == 0 {
                all.push(&self.rows[random.below(self.rows.len())]);
            }
            selection.push(all.len() as u32);
            all.push(row);
        }
        let column = |c: usize| all.iter().map(|row| row[c].clone()).collect::<Vec<_>>();
        let columns =
            (0..self.types.len()).map(|c| vector(&self.types[c], &column(c), random)).collect();
        let mut batch = Batch::new(columns, all.len());
        if selected {
            batch.selection = Some(Selection::new(selection));
        }
        batch
    }

    pub(super) fn plan(&self) -> Plan {
        let column = |ty: &LogicalType| ColumnDef::new("c", ty.clone());
        let schema = Schema::new(self.types.iter().map(column).collect());
        Plan::Values { schema, rows: Vec::new() }
    }
}

/// A join to be tested.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) kind: JoinKind,
    pub(super) left: Table,
    pub(super) right: Table,
    /// Left column, right column, whether NULL matches NULL.
    pub(super) keys: Vec<(usize, usize, bool)>,
    /// An expression and the same as a function of two rows.
    pub(super) residual: Option<(Expr, PairTest)>,
    /// In an ASOF join: left column, right column, how the left one compares to the right one.
    pub(super) nearest: Option<(usize, usize, CompareOp)>,
}

impl Case {
    pub(super) fn plan(&self) -> JoinPlan {
        let key = |&(left, right, null_equal): &(usize, usize, bool)| JoinKey {
            left: Expr::column(left, self.left.types[left].clone()),
            right: Expr::column(right, self.right.types[right].clone()),
            null_equal,
        };
        JoinPlan {
            left: Box::new(self.left.plan()),
            right: Box::new(self.right.plan()),
            kind: self.kind,
            keys: self.keys.iter().map(key).collect(),
            residual: self.residual.as_ref().map(|(expr, _)| expr.clone()),
            nearest: self.nearest.map(|(left, right, op)| NearestKey {
                left: Expr::column(left, self.left.types[left].clone()),
                right: Expr::column(right, self.right.types[right].clone()),
                op,
            }),
            schema: Schema::default(),
        }
    }

    fn candidates(&self, left: &Row, skip: usize) -> Vec<usize> {
        let matches = |right: &&Row| {
            let keys = self.keys.iter().skip(skip);
            keys.fold(true, |all, &(l, r, null_equal)| {
                all && match (key(&left[l]), key(&right[r])) {
                    (None, None) => null_equal,
                    (left, right) => left.is_some() && left == right,
                }
            })
        };
        let rows = self.right.rows.iter().enumerate();
        let mut rows: Vec<usize> = rows.filter(|(_, row)| matches(row)).map(|(i, _)| i).collect();
        if let Some(nearest) = self.nearest {
            rows = self.nearest_of(rows, left, nearest).into_iter().collect();
        }
        let passes = |&right: &usize| {
            let right = &self.right.rows[right];
            self.residual.as_ref().is_none_or(|(_, residual)| residual(left, right))
        };
        rows.into_iter().filter(passes).collect()
    }

    /// Of some right rows the nearest one, the last of several.
    fn nearest_of(
        &self,
        rows: Vec<usize>,
        left: &Row,
        (l, r, op): (usize, usize, CompareOp),
    ) -> Option<usize> {
        let of = |right: usize| &self.right.rows[right][r];
        let on_side = |&right: &usize| {
            let order = order(of(right), &left[l]);
            order.is_some_and(|order| match op {
                CompareOp::GtEq => order.is_le(),
                CompareOp::Gt => order.is_lt(),
                CompareOp::LtEq => order.is_ge(),
                _ => order.is_gt(),
            })
        };
        let backward = matches!(op, CompareOp::GtEq | CompareOp::Gt);
        rows.into_iter().filter(on_side).reduce(|best, next| {
            let order = order(of(next), of(best)).unwrap();
            let nearer = if backward { order.is_ge() } else { order.is_le() };
            if nearer { next } else { best }
        })
    }

    /// The rows of the answer, printed, in order.
    pub(super) fn oracle(&self) -> Vec<Vec<String>> {
        let mut out: Vec<Row> = Vec::new();
        let mut seen = vec![false; self.right.rows.len()];
        let nulls = |types: &[LogicalType]| types.iter().cloned().map(Scalar::null).collect();
        let both = |left: &Row, right: &Row| [left.clone(), right.clone()].concat();
        for left in &self.left.rows {
            let matches = self.candidates(left, 0);
            matches.iter().for_each(|&right| seen[right] = true);
            let is_matched = !matches.is_empty();
            match self.kind {
                JoinKind::Inner | JoinKind::Right => {
                    out.extend(matches.iter().map(|&r| both(left, &self.right.rows[r])));
                }
                JoinKind::Left | JoinKind::Full => {
                    out.extend(matches.iter().map(|&r| both(left, &self.right.rows[r])));
                    if !is_matched {
                        out.push(both(left, &nulls(&self.right.types)));
                    }
                }
                JoinKind::LeftSemi => out.extend(is_matched.then(|| left.clone())),
                JoinKind::LeftAnti => out.extend((!is_matched).then(|| left.clone())),
                JoinKind::LeftAntiNullAware => {
                    let others = self.candidates(left, 1);
                    let (l, r, _) = self.keys[0];
                    let own = key(&left[l]);
                    let hit = |&right: &usize| {
                        let other = key(&self.right.rows[right][r]);
                        other.is_none() || other == own
                    };
                    let passes = !others.iter().any(hit) && (others.is_empty() || own.is_some());
                    out.extend(passes.then(|| left.clone()));
                }
                JoinKind::LeftMark => {
                    out.push([left.clone(), vec![Scalar::boolean(is_matched)]].concat());
                }
                JoinKind::RightSemi | JoinKind::RightAnti => {}
            }
        }
        for (right, seen) in self.right.rows.iter().zip(seen) {
            match self.kind {
                JoinKind::Right | JoinKind::Full if !seen => {
                    out.push(both(&nulls(&self.left.types), right));
                }
                JoinKind::RightSemi if seen => out.push(right.clone()),
                JoinKind::RightAnti if !seen => out.push(right.clone()),
                _ => {}
            }
        }
        out.iter().map(|row| row.iter().map(show).collect()).collect()
    }
}

/// The order of two values that are not NULL.
fn order(a: &Scalar, b: &Scalar) -> Option<std::cmp::Ordering> {
    if a.is_null() || b.is_null() {
        return None;
    }
    if let (Some(a), Some(b)) = (a.as_bytes(), b.as_bytes()) {
        return Some(a.cmp(b));
    }
    if let (Some(a), Some(b)) = (a.as_i128(), b.as_i128()) {
        return Some(a.cmp(&b));
    }
    let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
    Some(a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())))
}

/// A value in print; dates and times as numbers, since not all of them have a name.
fn show(value: &Scalar) -> String {
    value.as_i128().map_or_else(|| value.to_string(), |number| number.to_string())
}

/// A key value in a form in which equality is that of joins; `None` for NULL.
fn key(value: &Scalar) -> Option<String> {
    if value.is_null() {
        return None;
    }
    if let Some(intervals) = value.array().as_primitive_opt::<IntervalMonthDayNanoType>() {
        let interval = intervals.value(0);
        let days = i128::from(interval.months) * 30 + i128::from(interval.days);
        return Some(format!("{}", days * 86_400_000_000_000 + i128::from(interval.nanoseconds)));
    }
    Some(match (value.as_f64(), value.as_bytes()) {
        (Some(float), _) if float.is_nan() => "nan".into(),
        (Some(float), _) => format!("{:x}", (float + 0.0).to_bits()),
        (_, Some(bytes)) => format!("{bytes:x?}"),
        _ => show(value),
    })
}

pub(super) fn context(vector_size: usize) -> Arc<QueryContext> {
    let settings = QuerySettings { vector_size, ..QuerySettings::default() };
    Arc::new(QueryContext::new(settings, Arc::default(), Vec::new()))
}

pub(super) fn workers(threads: usize) -> Workers {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    Workers::new(Arc::new(pool), threads)
}

/// Brings a build side in, its morsels dealt to some workers in some order.
pub(super) fn build(
    plan: &JoinPlan,
    morsels: &[Vec<Batch>],
    context: &Arc<QueryContext>,
    workers: &Workers,
    random: &mut Random,
) -> Result<Arc<JoinBuild>> {
    let join = JoinBuild::new(plan, context)?;
    let mut locals = Vec::new();
    for _ in 0..workers.threads() {
        locals.push(join.local(context)?);
    }
    for (number, morsel) in morsels.iter().enumerate() {
        let worker = random.below(locals.len());
        locals[worker].begin_morsel(number)?;
        for batch in morsel {
            locals[worker].push(batch.clone())?;
        }
        locals[worker].end_morsel()?;
    }
    while !locals.is_empty() {
        let worker = random.below(locals.len());
        locals.swap_remove(worker).merge()?;
    }
    join.finish(context, workers)?;
    Ok(join)
}

/// Runs a join and gives its batches in order.
pub(super) fn run(
    case: &Case,
    context: &Arc<QueryContext>,
    workers: &Workers,
    random: &mut Random,
) -> Result<Vec<Batch>> {
    let right = case.right.morsels(random, 9);
    let join = build(&case.plan(), &right, context, workers, random)?;
    assert_eq!(join.rows(), case.right.rows.len());
    let probe = join.probe();
    let mut locals = Vec::new();
    for _ in 0..workers.threads() {
        locals.push(probe.local(context)?);
    }
    let mut out = Vec::new();
    for morsel in case.left.morsels(random, 13.max(case.left.rows.len() / 2)) {
        let worker = random.below(locals.len());
        let local = &mut locals[worker];
        'morsel: for batch in morsel {
            let mut input = Some(batch);
            loop {
                match local.step(input.take())? {
                    Step::NeedInput => break,
                    Step::HaveMore(batch) => {
                        assert!(!batch.is_empty() && batch.rows >= batch.len());
                        out.push(batch);
                    }
                    Step::Done => break 'morsel,
                }
            }
        }
        local.end_morsel();
    }
    if let Some(source) = join.unmatched() {
        let mut local = source.local(context)?;
        for morsel in 0..source.morsels() {
            local.begin(morsel)?;
            while let Some(batch) = local.next()? {
                out.push(batch);
            }
        }
    }
    Ok(out)
}

/// The rows of batches, printed.
pub(super) fn printed(batches: &[Batch]) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    for batch in batches {
        let batch = batch.clone().compact().unwrap();
        let columns: Vec<ArrayRef> = batch.columns.iter().map(|c| c.flatten().unwrap()).collect();
        for row in 0..batch.rows {
            let value = |c: &ArrayRef| show(&Scalar::from_array(c.as_ref(), row).unwrap());
            out.push(columns.iter().map(value).collect());
        }
    }
    out
}
