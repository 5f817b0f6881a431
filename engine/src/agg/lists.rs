//! Aggregates of the elements of lists: each list is a group.
//!
//! Invariant: the result of a list is what the aggregate gives over a column of its elements, in their order; a list
//! that is NULL gives NULL.

use arrow::{
    array::{Array, ArrayRef, BooleanArray, ListArray, UInt32Array},
    compute,
    datatypes::DataType,
};
use stoadb_storage::{LogicalType, Scalar, Vector};

use super::{Call, Groups, State};
use crate::{
    error::Result,
    expr::Expr,
    plan::{AggregateCall, AggregateFunction},
};

/// The aggregate of each list's elements, of type `ty`. `O(elements)`, or what the function needs.
///
/// # Errors
/// `Unsupported` for elements that the function does not take; `Value` when a result is outside of its type.
pub fn aggregate_lists(
    function: AggregateFunction,
    parameters: Vec<Scalar>,
    lists: &ListArray,
    ty: &LogicalType,
) -> Result<ArrayRef> {
    let element = LogicalType::from_arrow(lists.values().data_type())?;
    let call = Call::new(&AggregateCall {
        function,
        args: vec![Expr::column(0, element)],
        parameters,
        distinct: false,
        filter: None,
        order_by: Vec::new(),
        ty: ty.clone(),
    })?;
    let (mut places, mut groups) = (Vec::new(), Vec::new());
    let nulls = lists.values().logical_nulls().filter(|_| !call.keeps_nulls());
    for (list, bounds) in lists.value_offsets().windows(2).enumerate() {
        if lists.is_null(list) {
            continue;
        }
        for place in bounds[0] as u32..bounds[1] as u32 {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(place as usize)) {
                places.push(place);
                groups.push(list as u32);
            }
        }
    }
    let values = compute::take(lists.values(), &UInt32Array::from(places), None)?;
    let mut state = State::new(&call)?;
    state.resize(lists.len());
    if !groups.is_empty() {
        state.update(&[Vector::from_arrow(&values)?], Groups::Ids(&groups))?;
    }
    state.seal()?;
    let result = state.finish(&call)?;
    match lists.nulls() {
        Some(nulls) if *result.data_type() != DataType::Null => {
            let missing = BooleanArray::new(!nulls.inner(), None);
            Ok(compute::nullif(&result, &missing)?)
        }
        _ => Ok(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::{AsArray, Int64Array},
        datatypes::{Float64Type, Int64Type},
    };

    fn lists() -> ListArray {
        ListArray::from_iter_primitive::<Int64Type, _, _>([
            Some(vec![Some(1), None, Some(5)]),
            None,
            Some(vec![]),
            Some(vec![None]),
            Some(vec![Some(2), Some(2)]),
        ])
    }

    #[test]
    fn test_each_list_is_a_group() {
        let run = |function, ty| aggregate_lists(function, vec![], &lists(), &ty).unwrap();
        let sums = run(AggregateFunction::Sum, LogicalType::Int64);
        let wanted = Int64Array::from(vec![Some(6), None, None, None, Some(4)]);
        assert_eq!(sums.as_primitive::<Int64Type>(), &wanted);
        let counts = run(AggregateFunction::Count, LogicalType::Int64);
        let wanted = Int64Array::from(vec![Some(2), None, Some(0), Some(0), Some(2)]);
        assert_eq!(counts.as_primitive::<Int64Type>(), &wanted);
        let medians = run(AggregateFunction::Median, LogicalType::Float64);
        assert_eq!(medians.as_primitive::<Float64Type>().value(0), 3.0);
        assert!(medians.is_null(1) && medians.is_null(2) && medians.is_null(3));
        let first = run(AggregateFunction::Last, LogicalType::Int64);
        assert_eq!(first.as_primitive::<Int64Type>().value(0), 5);
        assert!(first.is_null(3));
    }

    #[test]
    fn test_slices_of_lists() {
        let sums = aggregate_lists(
            AggregateFunction::Sum,
            vec![],
            &lists().slice(4, 1),
            &LogicalType::Int64,
        );
        assert_eq!(sums.unwrap().as_primitive::<Int64Type>(), &Int64Array::from(vec![4]));
    }
}
