//! Tests of pipelines and result streams over synthetic sources: order, parking, errors, cancellation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arrow::{
    array::{AsArray, Int64Array},
    datatypes::{DataType, Field, Int64Type, Schema as ArrowSchema},
};
use stoadb_storage::Vector;

use super::*;
use crate::{
    context::QuerySettings,
    op::{LocalSource, LocalTransform, Sink, Source, Step, Transform, collect::Collect},
    pipeline,
};

/// Morsels of batches of one BIGINT column: (morsel * 1_000_000 + position). Sleeps now and then; counts batches.
struct Numbers {
    morsels: usize,
    batches: usize,
    rows: usize,
    delay: bool,
    fail_at: Option<usize>,
    produced: Arc<AtomicUsize>,
}

impl Numbers {
    fn new(morsels: usize, batches: usize, rows: usize) -> Self {
        Self { morsels, batches, rows, delay: false, fail_at: None, produced: Arc::default() }
    }

    fn expected(&self) -> Vec<i64> {
        let per_morsel = (self.batches * self.rows) as i64;
        let morsel = |m: usize| (0..per_morsel).map(move |i| m as i64 * 1_000_000 + i);
        (0..self.morsels).flat_map(morsel).collect()
    }
}

struct LocalNumbers {
    morsels: usize,
    batches: usize,
    rows: usize,
    delay: bool,
    fail_at: Option<usize>,
    produced: Arc<AtomicUsize>,
    morsel: usize,
    next: usize,
}

impl Source for Numbers {
    fn morsels(&self) -> usize {
        self.morsels
    }

    fn local(&self, _context: &Arc<QueryContext>) -> Result<Box<dyn LocalSource>> {
        let Self { morsels, batches, rows, delay, fail_at, .. } = *self;
        let produced = Arc::clone(&self.produced);
        let (morsel, next) = (0, 0);
        Ok(Box::new(LocalNumbers {
            morsels,
            batches,
            rows,
            delay,
            fail_at,
            produced,
            morsel,
            next,
        }))
    }
}

impl LocalSource for LocalNumbers {
    fn begin(&mut self, morsel: usize) -> Result<()> {
        assert!(morsel < self.morsels);
        (self.morsel, self.next) = (morsel, 0);
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Batch>> {
        if self.next == self.batches {
            return Ok(None);
        }
        if self.fail_at.is_some_and(|morsel| self.morsel >= morsel) {
            return Err(EngineError::Value(format!("morsel {}", self.morsel)));
        }
        let count = self.produced.fetch_add(1, Ordering::Relaxed);
        if self.delay && (self.morsel * 7 + self.next + count).is_multiple_of(5) {
            std::thread::sleep(Duration::from_micros((count % 7 * 40) as u64));
        }
        let first = self.morsel * 1_000_000 + self.next * self.rows;
        self.next += 1;
        let values: Vec<i64> = (first..first + self.rows).map(|value| value as i64).collect();
        let column = Vector::Flat(Arc::new(Int64Array::from(values)));
        Ok(Some(Batch::new(vec![column], self.rows)))
    }
}

/// Gives every input batch `times` times.
struct Repeat(u64);

struct LocalRepeat {
    times: u64,
    left: u64,
    batch: Option<Batch>,
}

impl Transform for Repeat {
    fn local(&self, _context: &Arc<QueryContext>) -> Result<Box<dyn LocalTransform>> {
        Ok(Box::new(LocalRepeat { times: self.0, left: 0, batch: None }))
    }
}

impl LocalTransform for LocalRepeat {
    fn step(&mut self, input: Option<Batch>) -> Result<Step> {
        if let Some(batch) = input {
            self.batch = Some(batch);
            self.left = self.times;
        }
        if self.left == 0 {
            return Ok(Step::NeedInput);
        }
        self.left -= 1;
        Ok(self.batch.clone().map_or(Step::NeedInput, Step::HaveMore))
    }
}

fn pool(threads: usize) -> Arc<rayon::ThreadPool> {
    Arc::new(rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap())
}

fn context(threads: usize) -> Arc<QueryContext> {
    let settings = QuerySettings { threads, ..QuerySettings::default() };
    Arc::new(QueryContext::new(settings, Arc::default(), Vec::new()))
}

fn read(
    pool: &Arc<rayon::ThreadPool>,
    threads: usize,
    stream: Stream,
    bounds: Bounds,
) -> ResultStream {
    let schema = ArrowSchema::new(vec![Field::new("n", DataType::Int64, true)]);
    let workers = Workers::new(Arc::clone(pool), threads);
    let metrics = Arc::new(Metrics::new(1));
    ResultStream::spawn(Arc::new(schema), bounds, context(threads), metrics, workers, false, || {
        Ok(stream)
    })
}

fn values(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn all(stream: ResultStream) -> Vec<i64> {
    stream.flat_map(|batch| values(&batch.unwrap())).collect()
}

#[test]
fn test_rows_come_in_order_at_any_thread_count() {
    for threads in [1, 2, 3, 8] {
        let pool = pool(threads);
        let mut first = Numbers::new(70, 20, 3);
        first.delay = true;
        let second = Numbers::new(5, 1, 2);
        let expected: Vec<i64> = first.expected().into_iter().chain(second.expected()).collect();
        let streams = vec![Stream::new(0, Arc::new(first)), Stream::new(0, Arc::new(second))];
        assert_eq!(all(read(&pool, threads, Stream::concat(streams), Bounds::ALL)), expected);
    }
}

#[test]
fn test_limit_and_offset_cut_the_ordered_rows() {
    for threads in [1, 3] {
        for (offset, limit) in [(0, 0), (0, 1), (5, 7), (59, 200), (4000, 10), (4199, 5), (9000, 1)]
        {
            let mut numbers = Numbers::new(70, 20, 3);
            numbers.delay = true;
            let expected: Vec<i64> =
                numbers.expected().into_iter().skip(offset).take(limit).collect();
            let bounds = Bounds { offset: offset as u64, limit: limit as u64 };
            let stream = Stream::new(0, Arc::new(numbers));
            assert_eq!(all(read(&pool(threads), threads, stream.clone(), bounds)), expected);

            let (pool, context) = (pool(threads), context(threads));
            let collect = Collect::new(bounds);
            let sink: Arc<dyn Sink> = collect.clone();
            let workers = Workers::new(Arc::clone(&pool), threads);
            let metrics = Arc::new(Metrics::new(1));
            pipeline::run(&stream, 0, &sink, &context, &metrics, &workers).unwrap();
            let source = Stream::new(0, collect.source());
            assert_eq!(all(read(&pool, threads, source, Bounds::ALL)), expected);
        }
    }
}

#[test]
fn test_two_cursors_share_one_thread() {
    let pool = pool(1);
    let open = || read(&pool, 1, Stream::new(0, Arc::new(Numbers::new(10, 100, 2))), Bounds::ALL);
    let (mut one, mut two) = (open(), open());
    let expected = Numbers::new(10, 100, 2).expected();
    let (mut left, mut right) = (Vec::new(), Vec::new());
    while let (Some(a), Some(b)) = (one.next(), two.next()) {
        left.extend(values(&a.unwrap()));
        right.extend(values(&b.unwrap()));
    }
    assert_eq!((left, right), (expected.clone(), expected));
}

#[test]
fn test_a_slow_reader_parks_the_pipeline() {
    let numbers = Numbers::new(100, 1000, 2);
    let produced = Arc::clone(&numbers.produced);
    let mut stream = Stream::new(0, Arc::new(numbers));
    stream.push(0, &(Arc::new(Repeat(1_000_000)) as Arc<dyn Transform>));
    let pool = pool(2);
    let mut reader = read(&pool, 2, stream, Bounds::ALL);
    for _ in 0..1000 {
        assert_eq!(reader.next().unwrap().unwrap().num_rows(), 2);
    }
    std::thread::sleep(Duration::from_millis(20));
    assert!(produced.load(Ordering::Relaxed) <= 4, "{produced:?} batches for 1000 outputs");
    // The pool's threads are free while the reader pauses.
    assert_eq!(pool.install(|| 42), 42);
}

#[test]
fn test_a_reader_on_the_pool_does_not_wait_for_itself() {
    let pool = pool(1);
    let numbers = Numbers::new(4, 50, 2);
    let expected = numbers.expected();
    let stream = Stream::new(0, Arc::new(numbers));
    let rows = pool.install(|| all(read(&pool, 1, stream, Bounds::ALL)));
    assert_eq!(rows, expected);
}

#[test]
fn test_an_error_comes_after_the_rows_before_it() {
    for threads in [1, 2, 8] {
        let mut numbers = Numbers::new(50, 3, 2);
        (numbers.fail_at, numbers.delay) = (Some(20), true);
        let expected: Vec<i64> = numbers.expected().into_iter().take(20 * 6).collect();
        let mut rows = Vec::new();
        let mut reader =
            read(&pool(threads), threads, Stream::new(0, Arc::new(numbers)), Bounds::ALL);
        let error = loop {
            match reader.next() {
                Some(Ok(batch)) => rows.extend(values(&batch)),
                Some(Err(error)) => break error,
                None => panic!("the error is missing"),
            }
        };
        assert_eq!((rows, error.to_string()), (expected, "morsel 20".to_string()));
        assert!(reader.next().is_none());
    }
}

#[test]
fn test_cancel_and_drop_stop_an_endless_stream() {
    let pool = pool(2);
    let endless = || {
        let mut stream = Stream::new(0, Arc::new(Numbers::new(4, 1, 1)));
        stream.push(0, &(Arc::new(Repeat(u64::MAX)) as Arc<dyn Transform>));
        stream
    };
    let mut reader = read(&pool, 2, endless(), Bounds::ALL);
    assert!(reader.next().unwrap().is_ok());
    reader.context().cancel_flag().store(true, Ordering::Relaxed);
    let start = Instant::now();
    let error = reader.find_map(std::result::Result::err).unwrap();
    assert!(matches!(error, EngineError::Cancelled));
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    drop(read(&pool, 2, endless(), Bounds::ALL));
    assert_eq!(pool.install(|| 1), 1);
}

#[test]
fn test_an_open_error_reaches_the_reader() {
    let schema = Arc::new(ArrowSchema::empty());
    let workers = Workers::new(pool(1), 1);
    let metrics = Arc::new(Metrics::new(1));
    let open = || panic!("boom");
    let mut reader =
        ResultStream::spawn(schema, Bounds::ALL, context(1), metrics, workers, false, open);
    assert!(reader.next().unwrap().unwrap_err().to_string().contains("boom"));
    assert!(reader.next().is_none());
}
