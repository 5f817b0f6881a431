//! Rows of one group of which a mask says which count: NULLs and rows that a FILTER drops are passed over where they lie.
//!
//! Invariant: a state takes exactly what `update` would take of the rows that count, in their order. Rows that do not count
//! keep their places among the lanes of sums of doubles and the chunks of their moments, so that the bits may differ from
//! those of rows that were gathered; whether rows are gathered is a property of the plan.
//! Next: `storage/src/lanes/mod.rs`.

use std::cell::OnceCell;

use arrow::buffer::BooleanBuffer;
use stoadb_storage::{LogicalType, Vector, lanes::mask_words};

use super::{Call, State};
use crate::{
    error::{EngineError, Result},
    kernel::bits::width,
    plan::AggregateFunction as Function,
};

/// Which of consecutive rows count.
pub(crate) struct RowMask {
    bits: BooleanBuffer,
    rows: usize,
    words: OnceCell<Vec<u64>>,
}

impl RowMask {
    /// The rows whose bit is set, of which there are `rows`.
    pub(crate) fn new(bits: BooleanBuffer, rows: usize) -> Self {
        Self { bits, rows, words: OnceCell::new() }
    }

    /// A bit for each row.
    pub(crate) fn bits(&self) -> &BooleanBuffer {
        &self.bits
    }

    /// How many rows count.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The bits in words; none is set past the last row.
    pub(crate) fn words(&self) -> &[u64] {
        self.words.get_or_init(|| mask_words(&self.bits))
    }
}

/// Whether states of the call take masks.
pub(crate) fn takes_masks(call: &Call) -> bool {
    let function = matches!(
        call.function,
        Function::CountStar
            | Function::Count
            | Function::Sum
            | Function::Avg
            | Function::VarSamp
            | Function::VarPop
            | Function::StddevSamp
            | Function::StddevPop
            | Function::Min
            | Function::Max
    );
    let argument = |ty: &LogicalType| match call.function {
        Function::Min | Function::Max => {
            width(ty).is_some_and(|bits| bits <= 64)
                || matches!(ty, LogicalType::Text | LogicalType::Blob)
        }
        Function::Sum | Function::Avg => *ty != LogicalType::Interval,
        _ => true,
    };
    function && !call.collects() && call.args.iter().all(argument)
}

impl State {
    /// Takes the rows of group 0 that count. `args` may hold NULLs in the others.
    ///
    /// # Errors
    /// As `update`; `Internal` for calls that take no masks.
    pub(crate) fn update_masked(&mut self, args: &[Vector], mask: &RowMask) -> Result<()> {
        match (self, args) {
            (Self::Count(state), _) => state.absorb(mask.rows() as u64),
            (Self::Sum(state), [arg]) => state.add_masked(arg, mask)?,
            (Self::MomentsExact(state), [arg]) => state.add_masked(arg, mask)?,
            (Self::SumFloat(state), [arg]) => state.add_masked(arg, mask)?,
            (Self::Moments(state), [arg]) => state.add_masked(arg, mask)?,
            (Self::Extreme(state), [arg]) => state.add_masked(arg, mask)?,
            _ => return Err(EngineError::Internal("an aggregate that takes no mask".into())),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Array, AsArray},
        datatypes::Float64Type,
    };
    use stoadb_storage::Selection;

    use super::*;
    use crate::{
        agg::Groups,
        kernel::testing::{Random, display, encodings, flat_types, sample},
    };

    const FUNCTIONS: [Function; 8] = [
        Function::CountStar,
        Function::Count,
        Function::Sum,
        Function::Avg,
        Function::VarSamp,
        Function::StddevPop,
        Function::Min,
        Function::Max,
    ];

    fn call(function: Function, ty: &LogicalType) -> Call {
        let result = match (function, ty) {
            (Function::CountStar | Function::Count, _) => LogicalType::Int64,
            (Function::Min | Function::Max, ty) => ty.clone(),
            (Function::Sum | Function::Avg, LogicalType::Decimal { scale, .. }) => {
                LogicalType::Decimal { precision: 38, scale: *scale }
            }
            (Function::Sum, ty) if ty.is_integer() => {
                LogicalType::Decimal { precision: 38, scale: 0 }
            }
            _ => LogicalType::Float64,
        };
        let args = if function == Function::CountStar { vec![] } else { vec![ty.clone()] };
        let (parameters, order_by) = (vec![], vec![]);
        Call { function, args, parameters, distinct: false, order_by, ty: result }
    }

    fn state(call: &Call) -> State {
        let mut state = State::new(call).unwrap();
        state.resize(1);
        state
    }

    /// What the state comes to, doubles by their bits.
    fn result(mut state: State, call: &Call) -> String {
        state.seal().unwrap();
        let array = state.finish(call).unwrap();
        match array.as_primitive_opt::<Float64Type>() {
            Some(floats) if floats.is_valid(0) => format!("{:x}", floats.value(0).to_bits()),
            _ => display(&Vector::Flat(array.clone()), 0),
        }
    }

    #[test]
    fn test_masks_take_what_gathering_takes() {
        let mut random = Random::new(31);
        for ty in flat_types() {
            for rows in [1, 64, 700, 5000] {
                let nulls = [0, 2, 10][random.below(3) as usize];
                let array = sample(&ty, &mut random, rows, nulls);
                for vector in encodings(&array, &mut random) {
                    for dropped in [1, 2, 9, 200] {
                        check(&ty, &vector, dropped, &mut random);
                    }
                }
            }
        }
    }

    /// Compares for a mask without one in `dropped` rows, in two pieces.
    fn check(ty: &LogicalType, vector: &Vector, dropped: u64, random: &mut Random) {
        let rows = vector.len();
        let valid = vector.nulls();
        let mask = BooleanBuffer::collect_bool(rows, |row| {
            random.below(dropped) != 0 && valid.as_ref().is_none_or(|valid| valid.is_valid(row))
        });
        let kept = Selection::new(mask.set_indices_u32().collect());
        let gathered = vector.select(&kept).unwrap();
        let middle = random.below(rows as u64 + 1) as usize;
        for function in FUNCTIONS {
            let numbers = !matches!(
                function,
                Function::CountStar | Function::Count | Function::Min | Function::Max
            );
            let call = call(function, ty);
            if !takes_masks(&call) || numbers && !ty.is_numeric() {
                continue;
            }
            let args = |vector: Vector| match function {
                Function::CountStar | Function::Count => vec![],
                _ => vec![vector],
            };
            let masked = |cuts: &[usize]| {
                let mut state = state(&call);
                for (&start, &end) in cuts.iter().zip(&cuts[1..]) {
                    let mask = mask.slice(start, end - start);
                    let rows = mask.count_set_bits();
                    let args = args(vector.slice(start, end - start));
                    state.update_masked(&args, &RowMask::new(mask, rows)).unwrap();
                }
                state
            };
            let in_places =
                matches!(state(&call), State::SumFloat(_) | State::Moments(_)).then(|| {
                    let each: Vec<usize> = (0..=rows).collect();
                    result(masked(&each), &call)
                });
            let masked = result(masked(&[0, middle, rows]), &call);
            let mut wanted = state(&call);
            if !kept.is_empty() {
                wanted.update(&args(gathered.clone()), Groups::One(kept.len())).unwrap();
            }
            let wanted = result(wanted, &call);
            let what = format!("{function:?} of {ty}, {rows} rows, 1 of {dropped} dropped");
            match in_places {
                None => assert_eq!(masked, wanted, "{what}"),
                Some(each) => {
                    assert_eq!(masked, each, "{what}");
                    let close = match (double(&masked), double(&wanted)) {
                        (Some(a), Some(b)) if a.is_finite() && b.is_finite() => {
                            (a - b).abs() <= 1e-9 * b.abs().max(1.0)
                        }
                        _ => masked == wanted,
                    };
                    assert!(close, "{what}: {masked} {wanted}");
                }
            }
        }
    }

    /// The double of its bits.
    fn double(text: &str) -> Option<f64> {
        u64::from_str_radix(text, 16).ok().map(f64::from_bits)
    }
}
