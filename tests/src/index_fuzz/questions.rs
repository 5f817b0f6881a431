//! Questions in SQL about rows of a map, and their answers from the map.
//!
//! Invariant: sums of doubles are of multiples of one eighth, so that every way of adding gives the same.

use std::collections::{BTreeMap, BTreeSet};

use stoadb_benches::random::Random;

use super::model::Cell;

/// `v`, `s`, `d`, `x` by `id`.
pub(super) type Model = BTreeMap<i64, Vec<Cell>>;

pub(super) const COLUMNS: [&str; 5] = ["id", "v", "s", "d", "x"];
/// Those with numbers.
const NUMBERS: [usize; 4] = [0, 1, 3, 4];

/// What rows are asked for. Columns are named by ordinal.
#[derive(Debug, Clone)]
enum Filter {
    All,
    Between(usize, i64, i64),
    /// Bounds that are left open where `None`, excluded where there.
    Outside(usize, i64, i64),
    In(usize, Vec<i64>),
    IsNull(usize, bool),
    Text(String),
    Prefix(String),
    /// Each of one column.
    Both(Box<Filter>, Box<Filter>),
    Either(Box<Filter>, Box<Filter>),
}

/// What is asked of them.
#[derive(Debug, Clone, Copy)]
enum Ask {
    Rows,
    Moments(usize),
    Spread(usize),
    Quantiles(usize),
    Distinct(usize),
    Buckets(i64),
    Keys,
    /// The first rows in the order of `d`, so many after so many.
    First(bool, i64, i64),
}

/// A query.
#[derive(Debug, Clone)]
pub(super) struct Question {
    filter: Filter,
    ask: Ask,
}

fn cell<'a>(id: &'a Cell, row: &'a [Cell], column: usize) -> &'a Cell {
    if column == 0 { id } else { &row[column - 1] }
}

fn number(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Int(value) => Some(*value as f64),
        Cell::Double(value) => Some(*value),
        _ => None,
    }
}

impl Filter {
    fn random(random: &mut Random, deep: bool) -> Self {
        let column = NUMBERS[random.below(4) as usize];
        let below = |random: &mut Random, bound: u64| random.below(bound).cast_signed();
        let value = |random: &mut Random| match column {
            0 => below(random, 450) - 10,
            1 => below(random, 34) - 2,
            3 => below(random, 1100) - 550,
            _ => below(random, 10) - 3,
        };
        match random.below(if deep { 12 } else { 8 }) {
            0 => Self::All,
            1..4 => Self::Between(column, value(random), value(random)),
            4 => Self::Outside(column, value(random), value(random)),
            5 => Self::In(column, (0..1 + random.below(6)).map(|_| value(random)).collect()),
            6 => Self::IsNull(column, random.below(2) == 0),
            7 if random.below(2) == 0 => Self::Text(format!("s{}", random.below(400))),
            7 => Self::Prefix(format!("s{}", random.below(40))),
            at => {
                let one = Box::new(Self::random(random, false));
                let other = Box::new(Self::random(random, false));
                if at < 10 { Self::Both(one, other) } else { Self::Either(one, other) }
            }
        }
    }

    fn sql(&self) -> String {
        match self {
            Self::All => "TRUE".into(),
            Self::Between(column, low, high) => {
                format!("{0} >= {low} AND {0} <= {high}", COLUMNS[*column])
            }
            Self::Outside(column, low, high) => {
                format!("({0} < {low} OR {0} > {high})", COLUMNS[*column])
            }
            Self::In(column, values) => {
                let values: Vec<String> = values.iter().map(i64::to_string).collect();
                format!("{} IN ({})", COLUMNS[*column], values.join(", "))
            }
            Self::IsNull(column, is) => {
                format!("{} IS {}NULL", COLUMNS[*column], if *is { "" } else { "NOT " })
            }
            Self::Text(text) => format!("s = '{text}'"),
            Self::Prefix(text) => format!("s LIKE '{text}%'"),
            Self::Both(one, other) => format!("({}) AND ({})", one.sql(), other.sql()),
            Self::Either(one, other) => format!("({}) OR ({})", one.sql(), other.sql()),
        }
    }

    /// Whether it is true of a row.
    fn fits(&self, id: &Cell, row: &[Cell]) -> bool {
        let of = |column: &usize| number(cell(id, row, *column));
        match self {
            Self::All => true,
            Self::Between(column, low, high) => {
                of(column).is_some_and(|v| v >= *low as f64 && v <= *high as f64)
            }
            Self::Outside(column, low, high) => {
                of(column).is_some_and(|v| v < *low as f64 || v > *high as f64)
            }
            Self::In(column, values) => {
                of(column).is_some_and(|v| values.iter().any(|&other| other as f64 == v))
            }
            Self::IsNull(column, is) => cell(id, row, *column).is_null() == *is,
            Self::Text(text) => row[1].text() == Some(text),
            Self::Prefix(text) => row[1].text().is_some_and(|other| other.starts_with(text)),
            Self::Both(one, other) => one.fits(id, row) && other.fits(id, row),
            Self::Either(one, other) => one.fits(id, row) || other.fits(id, row),
        }
    }
}

impl Question {
    pub(super) fn moments(column: usize, by: usize, low: i64, high: i64) -> Self {
        Self { filter: Filter::Between(by, low, high), ask: Ask::Moments(column) }
    }

    pub(super) fn quantiles(column: usize, by: usize, low: i64, high: i64) -> Self {
        Self { filter: Filter::Between(by, low, high), ask: Ask::Quantiles(column) }
    }

    pub(super) fn rows(by: usize, low: i64, high: i64) -> Self {
        Self { filter: Filter::Between(by, low, high), ask: Ask::Rows }
    }

    pub(super) fn random(random: &mut Random) -> Self {
        let column = NUMBERS[random.below(4) as usize];
        let ask = match random.below(9) {
            0 => Ask::Rows,
            1 | 2 => Ask::Moments(column),
            3 => Ask::Spread(column),
            4 => Ask::Quantiles(column),
            5 => Ask::Distinct(random.below(5) as usize),
            6 => Ask::Buckets(1 + random.below(90).cast_signed()),
            7 => Ask::Keys,
            _ => {
                let (limit, offset) =
                    (random.below(12).cast_signed(), random.below(40).cast_signed());
                Ask::First(random.below(2) == 0, limit, offset)
            }
        };
        Self { filter: Filter::random(random, true), ask }
    }

    pub(super) fn sql(&self) -> String {
        let filter = self.filter.sql();
        let select = match self.ask {
            Ask::Rows => return format!("SELECT id, v, s, d, x FROM t WHERE {filter} ORDER BY id"),
            Ask::Moments(c) => {
                let c = COLUMNS[c];
                format!("count(*), count({c}), sum({c}), min({c}), max({c})")
            }
            Ask::Spread(c) => format!("avg({0}), var_samp({0}), stddev_pop({0})", COLUMNS[c]),
            Ask::Quantiles(c) => format!("median({0}), quantile_disc({0}, 0.25)", COLUMNS[c]),
            Ask::Distinct(c) => format!("count(DISTINCT {})", COLUMNS[c]),
            Ask::Buckets(width) => {
                return format!(
                    "SELECT id // {width} AS b, count(*), sum(d), max(v) FROM t WHERE {filter} GROUP BY b ORDER BY b"
                );
            }
            Ask::Keys => {
                return format!(
                    "SELECT v, count(*), sum(d) FROM t WHERE {filter} GROUP BY v ORDER BY v NULLS LAST"
                );
            }
            Ask::First(descending, limit, offset) => {
                let order = if descending { "DESC" } else { "ASC" };
                return format!(
                    "SELECT d FROM t WHERE {filter} ORDER BY d {order} NULLS LAST LIMIT {limit} OFFSET {offset}"
                );
            }
        };
        format!("SELECT {select} FROM t WHERE {filter}")
    }
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Null => "NULL".into(),
        Cell::Int(value) => value.to_string(),
        Cell::Double(value) => format!("{value:?}"),
        Cell::Text(text) => text.clone(),
    }
}

fn joined(cells: &[String]) -> String {
    cells.join("|")
}

/// Whether answers are equal, doubles but for their last digits.
pub(super) fn same(found: &[String], want: &[String]) -> bool {
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3);
    let cell = |(a, b): (&str, &str)| {
        let doubles = || Some((a.parse().ok()?, b.parse().ok()?));
        a == b || (a.contains(['.', 'e']) && doubles().is_some_and(|(a, b)| close(a, b)))
    };
    found.len() == want.len()
        && found.iter().zip(want).all(|(a, b)| {
            a == b
                || (a.split('|').count() == b.split('|').count()
                    && a.split('|').zip(b.split('|')).all(cell))
        })
}

fn sum(cells: &[&Cell]) -> Cell {
    let ints: Vec<i64> = cells.iter().filter_map(|cell| cell.int()).collect();
    let doubles: Vec<f64> = cells.iter().filter_map(|cell| number(cell)).collect();
    match (ints.len(), doubles.len()) {
        (_, 0) => Cell::Null,
        (0, _) => Cell::Double(doubles.iter().sum()),
        _ => Cell::Int(ints.iter().sum()),
    }
}

/// A question's answer from the rows.
pub(super) fn answer_of(question: &Question, model: &Model) -> Vec<String> {
    let all: Vec<(Cell, &Vec<Cell>)> =
        model.iter().map(|(id, row)| (Cell::Int(*id), row)).collect();
    let fits = |(id, row): &&(Cell, &Vec<Cell>)| question.filter.fits(id, row);
    let rows: Vec<&(Cell, &Vec<Cell>)> = all.iter().filter(fits).collect();
    let column = |column: usize| -> Vec<&Cell> {
        let cells = rows.iter().map(|(id, row)| cell(id, row, column));
        let mut cells: Vec<&Cell> = cells.filter(|cell| !cell.is_null()).collect();
        cells.sort_by(|a, b| a.order(b));
        cells
    };
    let or_null = |cell: Option<&&Cell>| cell.map_or("NULL".into(), |cell| shown(cell));
    match question.ask {
        Ask::Rows => rows
            .iter()
            .map(|(id, row)| joined(&(0..5).map(|at| shown(cell(id, row, at))).collect::<Vec<_>>()))
            .collect(),
        Ask::Moments(at) => {
            let cells = column(at);
            let (count, sum) = (cells.len().to_string(), shown(&sum(&cells)));
            let (min, max) = (or_null(cells.first()), or_null(cells.last()));
            vec![joined(&[rows.len().to_string(), count, sum, min, max])]
        }
        Ask::Spread(at) => {
            let values: Vec<f64> = column(at).iter().filter_map(|cell| number(cell)).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            let text =
                |there: bool, value: f64| if there { format!("{value:?}") } else { "NULL".into() };
            let (some, two) = (n > 0.0, n > 1.0);
            vec![joined(&[
                text(some, mean),
                text(two, squares / (n - 1.0)),
                text(some, (squares / n).sqrt()),
            ])]
        }
        Ask::Quantiles(at) => {
            let cells = column(at);
            let n = cells.len();
            let value = |at: usize| number(cells[at]).unwrap_or_default();
            let median = (n > 0).then(|| f64::midpoint(value((n - 1) / 2), value(n / 2)));
            let place = ((n as f64 * 0.25).ceil() as usize).max(1) - 1;
            let median = median.map_or("NULL".into(), |median| format!("{median:?}"));
            vec![joined(&[median, or_null(cells.get(place))])]
        }
        Ask::Distinct(at) => {
            let cells = column(at);
            let steps = cells.windows(2).filter(|pair| pair[0].order(pair[1]).is_ne()).count();
            vec![(steps + usize::from(!cells.is_empty())).to_string()]
        }
        Ask::Buckets(width) => {
            let bucket = |id: &Cell| id.int().unwrap_or_default() / width;
            let buckets: BTreeSet<i64> = rows.iter().map(|(id, _)| bucket(id)).collect();
            let line = |b: i64| {
                let inside: Vec<_> = rows.iter().filter(|(id, _)| bucket(id) == b).collect();
                let d: Vec<&Cell> = inside.iter().map(|(_, row)| &row[2]).collect();
                let max = inside.iter().filter_map(|(_, row)| row[0].int()).max();
                let max = max.map_or("NULL".into(), |max| max.to_string());
                joined(&[b.to_string(), inside.len().to_string(), shown(&sum(&d)), max])
            };
            buckets.into_iter().map(line).collect()
        }
        Ask::Keys => {
            let keys: BTreeSet<(bool, i64)> = rows
                .iter()
                .map(|(_, row)| (row[0].is_null(), row[0].int().unwrap_or_default()))
                .collect();
            let line = |(null, v): (bool, i64)| {
                let is =
                    |row: &[Cell]| if null { row[0].is_null() } else { row[0].int() == Some(v) };
                let inside: Vec<_> = rows.iter().filter(|(_, row)| is(row)).collect();
                let d: Vec<&Cell> = inside.iter().map(|(_, row)| &row[2]).collect();
                let key = if null { "NULL".into() } else { v.to_string() };
                joined(&[key, inside.len().to_string(), shown(&sum(&d))])
            };
            keys.into_iter().map(line).collect()
        }
        Ask::First(descending, limit, offset) => {
            let mut cells: Vec<String> = column(3).iter().map(|cell| shown(cell)).collect();
            if descending {
                cells.reverse();
            }
            cells.resize(rows.len(), "NULL".into());
            cells.into_iter().skip(offset as usize).take(limit as usize).collect()
        }
    }
}
