//! Every native function runs inside [`boundary`].
//!
//! A panic becomes an Internal error, and an [`Error`] becomes the Java exception of its kind. An exception of a
//! callback becomes the cause of the exception that ends the call.

use std::cell::Cell;
use std::time::Duration;

use jni::EnvUnowned;
use jni::objects::JObject;
use plumline::interrupt::{Interrupt, Never};
use plumline::{Error, Kind, Result};
use plumline_bindings::guard::guarded;

use crate::ffi::{self, Java};
use crate::frame::Writer;

/// Why a call was cancelled.
#[derive(Clone, Copy, Default, PartialEq)]
enum Cancelled {
    #[default]
    No,
    /// A callback threw; Java holds the exception.
    ByCallback,
    /// The thread was interrupted.
    ByInterrupt,
}

thread_local! {
    static CANCELLED: Cell<Cancelled> = const { Cell::new(Cancelled::No) };
}

/// Runs a native function.
pub(crate) fn boundary<'local, T: Default>(
    env: &EnvUnowned<'local>,
    this: &JObject<'local>,
    native: impl FnOnce(&Java<'local>) -> Result<T>,
) -> T {
    // A hook may make another call. The state of the outer call does not concern the inner one.
    let outer = CANCELLED.take();
    let java = Java::enter(env, this);
    let result = guarded(|| native(&java));
    match (CANCELLED.replace(outer), result) {
        // An interrupt may end a wait without an error (a drain). The interrupt flag stays set.
        (Cancelled::No | Cancelled::ByInterrupt, Ok(value)) => value,
        (cancelled, result) => throw(&java, cancelled, result.err()),
    }
}

#[cold]
fn throw<T: Default>(java: &Java<'_>, cancelled: Cancelled, error: Option<Error>) -> T {
    let error = error.unwrap_or_else(|| Error::new(Kind::Cancelled, "a callback threw an exception"));
    let mut frame = Writer::default();
    frame.error(&error, cancelled == Cancelled::ByInterrupt && error.kind() == Kind::Cancelled);
    java.throw(&frame.0, cancelled == Cancelled::ByCallback);
    T::default()
}

/// The error that ends the call after a callback threw. Java holds the exception.
pub(crate) fn callback_threw(name: &str) -> Error {
    CANCELLED.set(Cancelled::ByCallback);
    Error::new(Kind::Cancelled, format!("{name} threw an exception"))
}

/// Whether a callback has thrown in the present call.
pub(crate) fn has_callback_thrown() -> bool {
    CANCELLED.get() == Cancelled::ByCallback
}

/// Closes something, with a drain time that an interrupt ends. A thread that is interrupted already (often an
/// exception has led to the close) does not drain, but still deregisters, which takes at most 2 s.
pub(crate) fn close_interruptibly(
    drain: Option<Duration>,
    close: impl FnOnce(Option<Duration>, &dyn Interrupt),
) -> Result<()> {
    if ffi::is_interrupted()? {
        close(Some(Duration::ZERO), &Never);
    } else {
        close(drain, &ThreadInterrupt);
    }
    Ok(())
}

/// Ends a wait on the caller's thread when the thread is interrupted.
pub(crate) struct ThreadInterrupt;

impl Interrupt for ThreadInterrupt {
    fn check(&self) -> Result<()> {
        if !ffi::is_interrupted()? {
            return Ok(());
        }
        CANCELLED.set(Cancelled::ByInterrupt);
        Err(Error::new(Kind::Cancelled, "the thread was interrupted"))
    }
}
