//! Workers: how the engine runs indexed work on the thread pool.
//!
//! Invariants: indices are handed out in ascending order, and once an index is handed out its work runs to its end even
//! if another one fails, so that the error which wins (the one of the lowest index) does not depend on timing.
//! A panic in a worker becomes an `Internal` error.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use rayon::ThreadPool;

use crate::error::{EngineError, Result};

/// A query's share of the thread pool.
#[derive(Clone)]
pub struct Workers {
    pool: Arc<ThreadPool>,
    threads: usize,
    here: bool,
}

/// Whether a worker wants more work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Hand out the next index.
    Continue,
    /// Hand out no further index to anybody.
    Stop,
}

impl stoadb_storage::index::Workers for Workers {
    fn run(&self, tasks: usize, task: &(dyn Fn(usize) + Sync)) {
        let work = |index| {
            task(index);
            Ok(())
        };
        if let Err(error) = self.for_each(tasks, work) {
            // Nothing but a panic of a task fails; half a result must not pass for a whole one.
            resume_unwind(Box::new(error.to_string()));
        }
    }
}

impl Workers {
    /// At most `threads` workers on the pool.
    pub fn new(pool: Arc<ThreadPool>, threads: usize) -> Self {
        Self { pool, threads: threads.max(1), here: false }
    }

    /// The calling thread in the place of the pool's: for what takes less time than waking one of these, and little stack.
    pub fn here(self) -> Self {
        Self { here: true, threads: 1, ..self }
    }

    /// How many workers run at once at most. For sizing buffers, never for anything that shows in an answer.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The pool.
    pub fn pool(&self) -> &Arc<ThreadPool> {
        &self.pool
    }

    /// Calls `work` for every index below `n`.
    ///
    /// # Errors
    /// The error of the lowest index that failed.
    pub fn for_each(&self, n: usize, work: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        let step = |(): &mut (), index| work(index).map(|()| Flow::Continue);
        self.run(n, || Ok(()), step, |()| Ok(()))
    }

    /// Computes a value for every index below `n`, in order.
    ///
    /// # Errors
    /// As `for_each`.
    pub fn map<T: Send>(
        &self,
        n: usize,
        work: impl Fn(usize) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let slots: Vec<Mutex<Option<T>>> = (0..n).map(|_| Mutex::new(None)).collect();
        self.for_each(n, |index| {
            let value = work(index)?;
            *slots[index].lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        })?;
        let value = |slot: Mutex<Option<T>>| {
            let value = slot.into_inner().unwrap_or_else(PoisonError::into_inner);
            value.ok_or_else(|| EngineError::Internal("a worker left its slot empty".into()))
        };
        slots.into_iter().map(value).collect()
    }

    /// Runs workers with state: each makes its own with `local`, works indices off with `step` and hands its state over
    /// with `end`. A worker that gets no index makes no state.
    ///
    /// # Errors
    /// The error of the lowest index that failed; then those of `local` and `end`.
    pub fn run<L>(
        &self,
        n: usize,
        local: impl Fn() -> Result<L> + Sync,
        step: impl Fn(&mut L, usize) -> Result<Flow> + Sync,
        end: impl Fn(L) -> Result<()> + Sync,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let failure: Mutex<Option<(usize, EngineError)>> = Mutex::new(None);
        let fail = |index: usize, error: EngineError| {
            stop.store(true, Ordering::Relaxed);
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            if failure.as_ref().is_none_or(|(other, _)| index < *other) {
                *failure = Some((index, error));
            }
        };
        let take = || {
            if stop.load(Ordering::Relaxed) {
                return None;
            }
            Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&index| index < n)
        };
        let worker = || {
            let Some(first) = take() else { return };
            let mut state = match guarded(&local) {
                Ok(state) => state,
                Err(error) => return fail(first, error),
            };
            let mut index = first;
            loop {
                match guarded(|| step(&mut state, index)) {
                    Ok(Flow::Continue) => {}
                    Ok(Flow::Stop) => stop.store(true, Ordering::Relaxed),
                    Err(error) => return fail(index, error),
                }
                match take() {
                    Some(next) => index = next,
                    None => break,
                }
            }
            if let Err(error) = guarded(|| end(state)) {
                fail(usize::MAX, error);
            }
        };
        match self.threads.min(n) {
            0 => {}
            1 if self.here => worker(),
            1 => self.pool.install(worker),
            workers => self.pool.scope(|scope| {
                for _ in 1..workers {
                    scope.spawn(|_| worker());
                }
                worker();
            }),
        }
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }
}

/// Calls `work` and turns a panic into an error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(EngineError::Internal(format!(
            "a worker panicked: {}",
            text.unwrap_or_else(|| "no message".into())
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(threads: usize) -> Workers {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        Workers::new(Arc::new(pool), threads)
    }

    #[test]
    fn test_run_reports_the_lowest_failing_index() {
        for threads in [1, 2, 3, 8] {
            for _ in 0..50 {
                let error = workers(threads)
                    .for_each(100, |i| match i {
                        17 | 18 | 40 => {
                            if i == 17 {
                                std::thread::sleep(std::time::Duration::from_micros(200));
                            }
                            Err(EngineError::Value(format!("at {i}")))
                        }
                        _ => Ok(()),
                    })
                    .unwrap_err();
                assert_eq!(error.to_string(), "at 17");
            }
        }
    }

    #[test]
    fn test_run_turns_a_panic_into_an_error() {
        let error = workers(2).for_each(4, |i| if i == 2 { panic!("boom") } else { Ok(()) });
        assert!(error.unwrap_err().to_string().contains("boom"));
    }

    #[test]
    fn test_map_keeps_order() {
        let squares = workers(3).map(1000, |i| Ok(i * i)).unwrap();
        assert!(squares.iter().enumerate().all(|(i, &square)| square == i * i));
    }
}
