//! Waiting that looks after signals: Control-C ends a query, not only the wait for it.
//!
//! Invariant: nothing here holds the interpreter's lock while it waits.

use std::{
    process,
    sync::{OnceLock, mpsc},
    thread::{self, ThreadId},
    time::Duration,
};

use pyo3::prelude::*;
use stoadb::Connection;

use crate::errors::{InterfaceError, InternalError, OperationalError};

/// How long signals wait at most.
pub(crate) const TURN: Duration = Duration::from_millis(20);

/// Stack of the thread that runs a statement which is not a query: enough to plan it without another one. Only what is
/// used of it takes memory.
const STACK_BYTES: usize = 256 << 20;

/// The thread that signals come to, if it loaded the module.
static MAIN: OnceLock<Option<ThreadId>> = OnceLock::new();

/// Remembers whether this is the thread that signals come to.
pub(crate) fn remember_main_thread(py: Python<'_>) -> PyResult<()> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    let is_main = main.eq(threading.call_method0("get_ident")?)?;
    MAIN.get_or_init(|| is_main.then(|| thread::current().id()));
    Ok(())
}

fn may_get_signals() -> bool {
    let main = MAIN.get().copied().flatten();
    main.is_none_or(|main| main == thread::current().id())
}

/// Refuses to go on in a process other than the one that made something: a fork copies no threads.
pub(crate) fn check_process(maker: u32, what: &str) -> PyResult<()> {
    if maker == process::id() {
        return Ok(());
    }
    Err(OperationalError::new_err(format!(
        "this {what} belongs to the process that forked: its threads are not in this one; \
         stoadb.connect() here makes a connection of this process's own"
    )))
}

/// Drops what a process made, unless it is another one: there the locks of the first one's threads may be held for ever.
pub(crate) fn let_go<T>(maker: u32, made: T) {
    if maker != process::id() {
        std::mem::forget(made);
    }
}

/// Does work that may take long and gives no way to wait for a part of it: on a thread of its own if this one gets
/// signals. A signal whose handler raises cancels what the connection runs.
pub(crate) fn on_another_thread<T: Send>(
    py: Python<'_>,
    connection: &Connection,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    if !may_get_signals() {
        return Ok(py.detach(work));
    }
    let lost = || InternalError::new_err("the thread of a statement was lost");
    py.detach(|| {
        thread::scope(|scope| {
            let (give, take) = mpsc::channel();
            let run = move || {
                // The one who waits is there for as long as the scope is.
                let _ = give.send(work());
            };
            let builder = thread::Builder::new().name("stoadb-run".into()).stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, run).map_err(|error| {
                OperationalError::new_err(format!("cannot start a thread: {error}"))
            })?;
            let mut raised = None;
            loop {
                match take.recv_timeout(TURN) {
                    Ok(done) => return raised.map_or(Ok(done), Err),
                    Err(mpsc::RecvTimeoutError::Disconnected) => return Err(lost()),
                    Err(mpsc::RecvTimeoutError::Timeout) => {}
                }
                if let Err(error) = Python::attach(|py| py.check_signals()) {
                    raised = Some(error);
                }
                if raised.is_some() {
                    // Again and again: the statement may not have come to what can be cancelled yet.
                    connection.interrupt();
                }
            }
        })
    })
}

/// Refuses to use a connection from within a function that a query calls: the query may wait for it.
pub(crate) fn check_outside_of_functions() -> PyResult<()> {
    if crate::functions::is_running() {
        let message = "a function that a query calls cannot use a connection";
        return Err(InterfaceError::new_err(message));
    }
    Ok(())
}
