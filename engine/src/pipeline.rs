//! Pipelines: a stream of batches (sources and transforms) and how it is run into a sink.
//!
//! Invariants: a chain is a resumable iterator: between two calls of `Chain::next` it can be left alone for any time, so
//! that a slow reader parks a chain and never a thread. Parts of a stream run one after the other, each only once all
//! morsels of the one before are through; morsels are numbered over all parts.
//! Next: `result.rs`, which runs the last pipeline of a query for its reader.

use std::{sync::Arc, time::Instant};

use crate::{
    batch::Batch,
    context::QueryContext,
    error::{EngineError, Result},
    metrics::Metrics,
    op::{Feed, LocalSource, LocalTransform, Sink, Source, Step, Transform},
    scheduler::{Flow, Workers},
};

/// Batches to come: one part or several, read one after the other.
#[derive(Clone)]
pub struct Stream {
    parts: Vec<Part>,
}

/// A source and what its batches pass through. Nodes are the plan's operators by number, for metrics.
#[derive(Clone)]
pub(crate) struct Part {
    source: Arc<dyn Source>,
    source_node: usize,
    transforms: Vec<(usize, Arc<dyn Transform>)>,
}

impl Stream {
    /// The batches of a source, which node `node` of the plan is.
    pub fn new(node: usize, source: Arc<dyn Source>) -> Self {
        Self { parts: vec![Part { source, source_node: node, transforms: Vec::new() }] }
    }

    /// The batches of several streams, one stream after the other.
    pub fn concat(streams: Vec<Self>) -> Self {
        Self { parts: streams.into_iter().flat_map(|stream| stream.parts).collect() }
    }

    /// Passes every batch through a transform, which node `node` of the plan is.
    pub fn push(&mut self, node: usize, transform: &Arc<dyn Transform>) {
        for part in &mut self.parts {
            part.transforms.push((node, Arc::clone(transform)));
        }
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl Part {
    pub(crate) fn morsels(&self) -> usize {
        self.source.morsels()
    }
}

/// One worker's way through a part: source and transforms.
pub(crate) struct Chain {
    context: Arc<QueryContext>,
    metrics: Arc<Metrics>,
    source: Box<dyn LocalSource>,
    source_node: usize,
    transforms: Vec<(usize, Box<dyn LocalTransform>)>,
    /// Transforms that answered `HaveMore`, the one farthest down last: it is asked first.
    resume: Vec<usize>,
}

impl Chain {
    pub(crate) fn new(
        part: &Part,
        context: &Arc<QueryContext>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self> {
        let local = |(node, transform): &(usize, Arc<dyn Transform>)| {
            Ok((*node, transform.local(context)?))
        };
        Ok(Self {
            context: Arc::clone(context),
            metrics: Arc::clone(metrics),
            source: part.source.local(context)?,
            source_node: part.source_node,
            transforms: part.transforms.iter().map(local).collect::<Result<_>>()?,
            resume: Vec::new(),
        })
    }

    /// Turns to a morsel of the part.
    pub(crate) fn begin(&mut self, morsel: usize) -> Result<()> {
        self.end();
        self.source.begin(morsel)
    }

    /// The next batch that comes out at the end; `None` once the morsel is through.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>> {
        'pull: loop {
            self.context.check()?;
            let (mut batch, mut level) = match self.resume.pop() {
                None => match self.pull()? {
                    None => return Ok(None),
                    Some(batch) if batch.is_empty() => continue,
                    Some(batch) => (batch, 0),
                },
                Some(level) => match self.step(level, None)? {
                    Step::NeedInput => continue,
                    Step::Done => return Ok(None),
                    Step::HaveMore(batch) => (batch, level + 1),
                },
            };
            while level < self.transforms.len() {
                match self.step(level, Some(batch))? {
                    Step::NeedInput => continue 'pull,
                    Step::Done => return Ok(None),
                    Step::HaveMore(output) => batch = output,
                }
                level += 1;
            }
            return Ok(Some(batch));
        }
    }

    /// Drops what belongs to the morsel.
    pub(crate) fn end(&mut self) {
        self.resume.clear();
        for (_, transform) in &mut self.transforms {
            transform.end_morsel();
        }
    }

    fn pull(&mut self) -> Result<Option<Batch>> {
        let start = Instant::now();
        let batch = self.source.next()?;
        let rows = batch.as_ref().map_or(0, Batch::len);
        self.metrics.record(self.source_node, rows, start.elapsed());
        Ok(batch)
    }

    fn step(&mut self, level: usize, input: Option<Batch>) -> Result<Step> {
        let (node, transform) = &mut self.transforms[level];
        let start = Instant::now();
        let step = transform.step(input)?;
        let rows = if let Step::HaveMore(batch) = &step { batch.len() } else { 0 };
        self.metrics.record(*node, rows, start.elapsed());
        if matches!(step, Step::HaveMore(_)) {
            self.resume.push(level);
        }
        Ok(step)
    }
}

/// Runs a stream into a sink, which node `node` of the plan is, and completes the sink.
///
/// # Errors
/// The error of the first morsel (in order) that fails, whatever the number of workers.
pub fn run(
    stream: &Stream,
    node: usize,
    sink: &Arc<dyn Sink>,
    context: &Arc<QueryContext>,
    metrics: &Arc<Metrics>,
    workers: &Workers,
) -> Result<()> {
    context.memory().register(sink);
    let mut first_morsel = 0;
    for part in &stream.parts {
        let morsels = part.morsels();
        let done = std::sync::atomic::AtomicBool::new(false);
        let ran = workers.run(
            morsels,
            || Ok((Chain::new(part, context, metrics)?, sink.local(context)?)),
            |(chain, sink), morsel| {
                chain.begin(morsel)?;
                let mut feed = timed(metrics, node, || sink.begin_morsel(first_morsel + morsel))
                    .map(|()| Feed::NeedInput)?;
                while feed == Feed::NeedInput
                    && let Some(batch) = chain.next()?
                {
                    feed = timed(metrics, node, || sink.push(batch))?;
                }
                chain.end();
                let end = timed(metrics, node, || sink.end_morsel())?;
                if feed == Feed::Done || end == Feed::Done {
                    done.store(true, std::sync::atomic::Ordering::Relaxed);
                    return Ok(Flow::Stop);
                }
                Ok(Flow::Continue)
            },
            |(_, sink)| timed(metrics, node, || sink.merge()),
        );
        // The sink needs nothing of the morsels that are still under way: a row that fails there is not part of the
        // answer. What ends the whole query still does.
        let done = done.into_inner();
        match ran {
            Err(EngineError::Value(_) | EngineError::Storage(_)) if done => break,
            ran => ran?,
        }
        if done {
            break;
        }
        first_morsel += morsels;
    }
    context.check()?;
    timed(metrics, node, || sink.finish(context, workers))
}

fn timed<T>(metrics: &Metrics, node: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    let result = work();
    metrics.record_time(node, start.elapsed());
    result
}
