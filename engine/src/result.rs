//! The last pipeline of a query: it runs ahead of its reader by a bounded number of batches and gives them in order.
//!
//! Invariants: rows come in the order of (morsel, position) whatever the number of workers; a reader that stops reading
//! leaves parked chains and no busy or waiting thread; an error reaches the reader at its place in that order.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};

use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    metrics::Metrics,
    pipeline::{Chain, Stream},
    scheduler::{Workers, guarded},
};

/// Batches that a morsel may be ahead of its reader.
const QUEUE_BATCHES: usize = 16;

/// The rows of a result between two counts: LIMIT and OFFSET at the top of a query.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Rows to skip.
    pub offset: u64,
    /// Rows to give after these.
    pub limit: u64,
}

impl Bounds {
    /// All rows.
    pub const ALL: Self = Self { offset: 0, limit: u64::MAX };
}

/// A result being read: an iterator of record batches. Dropping it cancels the query.
pub struct ResultStream {
    shared: Arc<Shared>,
    schema: SchemaRef,
    bounds: Bounds,
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    /// Signalled when the reader may find something new.
    ready: Condvar,
    schema: SchemaRef,
    context: Arc<QueryContext>,
    metrics: Arc<Metrics>,
    workers: Workers,
    /// Rows that a single morsel need not exceed.
    morsel_rows: u64,
}

#[derive(Default)]
struct State {
    stream: Option<Stream>,
    part: usize,
    /// Morsels in the current part and how many of them were handed out.
    morsels: usize,
    handed_out: usize,
    /// Number of the current part's first morsel.
    first_morsel: usize,
    /// The morsel that the reader reads; `queues[0]` is its queue.
    head: usize,
    queues: VecDeque<Queue>,
    parked: Vec<Task>,
    active: usize,
    /// No further morsel is handed out: an error occurred or the reader has left.
    stopped: bool,
    /// Everything is through.
    finished: bool,
    error: Option<EngineError>,
}

#[derive(Default)]
struct Queue {
    batches: VecDeque<RecordBatch>,
    rows: u64,
    done: bool,
    error: Option<EngineError>,
}

/// A chain on its way, and the morsel that it is in (its number over all parts).
struct Task {
    chain: Chain,
    part: usize,
    morsel: Option<usize>,
}

enum Next {
    Run(Task),
    Parked,
    Ended,
}

impl ResultStream {
    /// Runs `open` and then the stream that it gives for a reader of the given schema: on the pool, or, what takes less
    /// time than waking a thread, `at_once` on the calling one.
    pub fn spawn(
        schema: SchemaRef,
        bounds: Bounds,
        context: Arc<QueryContext>,
        metrics: Arc<Metrics>,
        workers: Workers,
        at_once: bool,
        open: impl FnOnce() -> Result<Stream> + Send + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            ready: Condvar::new(),
            schema: Arc::clone(&schema),
            context,
            metrics,
            workers,
            morsel_rows: bounds.offset.saturating_add(bounds.limit),
        });
        let opener = Arc::clone(&shared);
        let run = move || match guarded(open) {
            Ok(stream) => opener.start(stream),
            Err(error) => opener.fail(error),
        };
        if at_once {
            run()
        } else {
            shared.workers.pool().spawn(run)
        }
        Self { shared, schema, bounds, ended: false }
    }

    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The query's context: its ledgers, memory and cancel flag.
    pub fn context(&self) -> &Arc<QueryContext> {
        &self.shared.context
    }

    /// The operators' counters.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// The next batch if it is there within a time, `Pending` if it is not; for readers that have other things to look
    /// after meanwhile.
    pub fn next_within(&mut self, time: Duration) -> Poll<Option<Result<RecordBatch>>> {
        let item = self.read(Instant::now().checked_add(time));
        if matches!(item, Poll::Ready(None | Some(Err(_)))) {
            self.ended = true;
        }
        item
    }

    fn read(&mut self, until: Option<Instant>) -> Poll<Option<Result<RecordBatch>>> {
        loop {
            if self.ended || self.bounds.limit == 0 {
                return Poll::Ready(None);
            }
            let batch = match self.shared.take(until) {
                Poll::Ready(Some(Ok(batch))) => batch,
                other => return other,
            };
            let rows = batch.num_rows() as u64;
            let skipped = self.bounds.offset.min(rows);
            self.bounds.offset -= skipped;
            let kept = (rows - skipped).min(self.bounds.limit);
            self.bounds.limit = self.bounds.limit.saturating_sub(kept);
            if kept > 0 {
                // Both counts are at most the batch's rows.
                let batch = batch.slice(skipped as usize, kept as usize);
                return Poll::Ready(Some(Ok(batch)));
            }
        }
    }
}

impl Iterator for ResultStream {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        // Without an end to the waiting there is always an item.
        let Poll::Ready(item) = self.read(None) else { return None };
        if !matches!(item, Some(Ok(_))) {
            self.ended = true;
        }
        item
    }
}

impl Drop for ResultStream {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Morsels that may be begun ahead of the reader.
    fn window(&self) -> usize {
        2 * self.workers.threads()
    }

    fn start(self: Arc<Self>, stream: Stream) {
        {
            let mut state = self.lock();
            state.stream = Some(stream);
            state.active = 1;
        }
        if let Some(task) = self.next_part(true) {
            self.work(task);
        }
    }

    /// Opens the current part (if `first`) or the next one that has morsels and starts its workers but one, whose task is
    /// left to the caller; called by the last active worker, so that nobody else changes the part meanwhile.
    fn next_part(self: &Arc<Self>, first: bool) -> Option<Task> {
        let mut advance = !first;
        let mut tasks = loop {
            let (part, index) = {
                let mut state = self.lock();
                if advance {
                    state.part += 1;
                    state.first_morsel += state.morsels;
                    (state.morsels, state.handed_out) = (0, 0);
                }
                advance = true;
                let index = state.part;
                let parts = state.stream.as_ref().map_or(&[][..], Stream::parts);
                let part = parts.get(index).filter(|_| !state.stopped).cloned();
                let Some(part) = part else {
                    state.finished = true;
                    state.active = 0;
                    state.stream = None;
                    drop(state);
                    self.ready.notify_all();
                    return None;
                };
                (part, index)
            };
            let morsels = part.morsels();
            let workers = self.workers.threads().min(morsels);
            if workers == 0 {
                continue;
            }
            let task = |_| {
                let chain = guarded(|| Chain::new(&part, &self.context, &self.metrics))?;
                Ok(Task { chain, part: index, morsel: None })
            };
            match (0..workers).map(task).collect::<Result<Vec<_>>>() {
                Ok(tasks) => {
                    let mut state = self.lock();
                    state.morsels = morsels;
                    state.active = workers;
                    break tasks;
                }
                Err(error) => {
                    self.fail(error);
                    return None;
                }
            }
        };
        let own = tasks.pop();
        tasks.into_iter().for_each(|task| self.spawn(task));
        own
    }

    fn spawn(self: &Arc<Self>, task: Task) {
        let shared = Arc::clone(self);
        self.workers.pool().spawn(move || shared.work(task));
    }

    fn fail(&self, error: EngineError) {
        let mut state = self.lock();
        state.error = Some(error);
        state.finished = true;
        state.active = 0;
        drop(state);
        self.ready.notify_all();
    }

    /// Runs a task until it is parked or its part has no morsel left; the last worker of a part goes on to the next one.
    fn work(self: Arc<Self>, mut task: Task) {
        loop {
            task = match self.turn(task) {
                Next::Run(task) => task,
                Next::Parked => return,
                Next::Ended => {
                    let last = {
                        let mut state = self.lock();
                        state.active -= 1;
                        state.active == 0
                    };
                    match last.then(|| self.next_part(false)).flatten() {
                        Some(task) => task,
                        None => return,
                    }
                }
            };
        }
    }

    fn turn(&self, mut task: Task) -> Next {
        let Some(morsel) = task.morsel else { return self.hand_out(task) };
        let output = guarded(|| match task.chain.next()? {
            Some(batch) => to_record_batch(batch, &self.schema).map(Some),
            None => {
                task.chain.end();
                Ok(None)
            }
        });
        let mut state = self.lock();
        let index = morsel - state.head;
        match output {
            Ok(Some(batch)) => {
                let queue = &mut state.queues[index];
                queue.rows += batch.num_rows() as u64;
                queue.batches.push_back(batch);
                queue.done = queue.rows >= self.morsel_rows;
                let full = queue.batches.len() >= QUEUE_BATCHES;
                if queue.done {
                    // The next morsel's `begin` drops what is left of this one.
                    task.morsel = None;
                } else if full && !state.stopped {
                    state.parked.push(task);
                    drop(state);
                    self.ready.notify_all();
                    return Next::Parked;
                }
            }
            Ok(None) => {
                state.queues[index].done = true;
                task.morsel = None;
            }
            Err(error) => {
                let queue = &mut state.queues[index];
                (queue.done, queue.error) = (true, Some(error));
                state.stopped = true;
                task.morsel = None;
            }
        }
        drop(state);
        self.ready.notify_all();
        Next::Run(task)
    }

    /// Gives the task its next morsel.
    fn hand_out(&self, mut task: Task) -> Next {
        let mut state = self.lock();
        debug_assert_eq!(task.part, state.part);
        if state.stopped || state.handed_out == state.morsels {
            return Next::Ended;
        }
        let morsel = state.first_morsel + state.handed_out;
        if morsel >= state.head + self.window() {
            state.parked.push(task);
            return Next::Parked;
        }
        let local = state.handed_out;
        state.handed_out += 1;
        while state.queues.len() <= morsel - state.head {
            state.queues.push_back(Queue::default());
        }
        task.morsel = Some(morsel);
        if let Err(error) = guarded(|| {
            drop(state);
            task.chain.begin(local)
        }) {
            let mut state = self.lock();
            let index = morsel - state.head;
            let queue = &mut state.queues[index];
            (queue.done, queue.error) = (true, Some(error));
            state.stopped = true;
            task.morsel = None;
            drop(state);
            self.ready.notify_all();
        }
        Next::Run(task)
    }

    /// The reader's next batch; waits for it, perhaps until a time.
    fn take(self: &Arc<Self>, until: Option<Instant>) -> Poll<Option<Result<RecordBatch>>> {
        let mut state = self.lock();
        loop {
            if state.queues.is_empty()
                && let Some(error) = state.error.take()
            {
                return Poll::Ready(Some(Err(error)));
            }
            let finished = state.finished;
            match state.queues.front_mut() {
                Some(queue) => {
                    if let Some(batch) = queue.batches.pop_front() {
                        let woken = self.wake(&mut state);
                        drop(state);
                        woken.into_iter().for_each(|task| self.spawn(task));
                        return Poll::Ready(Some(Ok(batch)));
                    }
                    if let Some(error) = queue.error.take() {
                        return Poll::Ready(Some(Err(error)));
                    }
                    if queue.done {
                        state.queues.pop_front();
                        state.head += 1;
                        let woken = self.wake(&mut state);
                        woken.into_iter().for_each(|task| self.spawn(task));
                        continue;
                    }
                }
                None if finished => return Poll::Ready(None),
                None => {}
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Poll::Pending;
            }
            state = self.wait(state, left);
        }
    }

    /// Waits until there may be something new, perhaps for no longer than a time; a reader on a thread of the pool works
    /// instead of waiting.
    fn wait<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        let pool = self.workers.pool();
        if pool.current_thread_index().is_none() {
            return match left {
                None => self.ready.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let waited = self.ready.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        drop(state);
        if pool.yield_now() != Some(rayon::Yield::Executed) {
            std::thread::yield_now();
        }
        self.lock()
    }

    /// Takes out the parked tasks that may go on.
    fn wake(&self, state: &mut State) -> Vec<Task> {
        let (head, window) = (state.head, self.window());
        let mut next = state.first_morsel + state.handed_out;
        let State { parked, queues, .. } = state;
        let ready = |task: &mut Task| match task.morsel {
            Some(morsel) => queues[morsel - head].batches.len() <= QUEUE_BATCHES / 2,
            None => {
                next += 1;
                next - 1 < head + window
            }
        };
        parked.extract_if(.., ready).collect()
    }

    /// The reader has left: nothing more is computed.
    fn abandon(&self) {
        let mut state = self.lock();
        state.stopped = true;
        if !state.finished {
            self.context.cancel_flag().store(true, std::sync::atomic::Ordering::Relaxed);
        }
        state.active = state.active.saturating_sub(state.parked.len());
        let parked = std::mem::take(&mut state.parked);
        let queues = std::mem::take(&mut state.queues);
        // Workers still running find their queue again by its distance from the head.
        state.queues = queues.iter().map(|_| Queue::default()).collect();
        let last = state.active == 0;
        if last {
            state.stream = None;
        }
        drop(state);
        drop(parked);
    }
}

/// The counted rows of a batch in canonical Arrow layout.
fn to_record_batch(batch: Batch, schema: &SchemaRef) -> Result<RecordBatch> {
    let batch = batch.compact()?;
    let columns =
        batch.columns.iter().map(|column| Ok(column.flatten()?)).collect::<Result<_>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

#[cfg(test)]
#[path = "result_tests.rs"]
mod tests;
