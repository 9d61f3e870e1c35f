//! The one way in: every native runs inside [`boundary`].
//!
//! A panic becomes an ordinary Internal error, an [`Error`] the Java exception of its kind. What the user's own
//! Java code raised on the way becomes the cause of the exception that ends the call.

use std::cell::Cell;
use std::time::Duration;

use jni::EnvUnowned;
use jni::objects::JObject;
use plumline::interrupt::{Interrupt, Never};
use plumline::{Error, Kind, Result};
use plumline_bindings::guard::guarded;

use crate::ffi::{self, Java};
use crate::frame::Writer;

/// Why a call ends that nothing was wrong with.
#[derive(Clone, Copy, Default, PartialEq)]
enum Ended {
    #[default]
    No,
    /// The user's own code raised; Java keeps what.
    Raised,
    /// `Thread.interrupt`.
    Interrupted,
}

thread_local! {
    static ENDED: Cell<Ended> = const { Cell::new(Ended::No) };
}

/// Runs a native.
pub(crate) fn boundary<'local, T: Default>(
    env: &EnvUnowned<'local>,
    this: &JObject<'local>,
    native: impl FnOnce(&Java<'local>) -> Result<T>,
) -> T {
    // A hook may call us again: what ended the outer call is not for the inner one to tell.
    let outer = ENDED.take();
    let java = Java::enter(env, this);
    let result = guarded(|| native(&java));
    match (ENDED.replace(outer), result) {
        // A wait that was cut short and has its value all the same (a drain): the thread's flag tells.
        (Ended::No | Ended::Interrupted, Ok(value)) => value,
        (ended, result) => fail(&java, ended, result.err()),
    }
}

#[cold]
fn fail<T: Default>(java: &Java<'_>, ended: Ended, error: Option<Error>) -> T {
    let error = error.unwrap_or_else(|| Error::new(Kind::Cancelled, "a callback raised"));
    let mut frame = Writer::default();
    frame.error(&error, ended == Ended::Interrupted && error.kind() == Kind::Cancelled);
    java.fail(&frame.0, ended == Ended::Raised);
    T::default()
}

/// The user's code raised, and Java keeps what: an error for the core to stop for.
pub(crate) fn raised(by: &str) -> Error {
    ENDED.set(Ended::Raised);
    Error::new(Kind::Cancelled, format!("{by} raised"))
}

/// Whether the user's code has raised inside the present call.
pub(crate) fn has_raised() -> bool {
    ENDED.get() == Ended::Raised
}

/// Closes something, with a drain that an interrupt cuts short. A thread that is interrupted already (its exception
/// has brought it here, more often than not) drains nothing, but is not kept from deregistering, which ends within 2 s.
pub(crate) fn closing(
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

/// Asked by whoever waits on the caller's thread: ends the wait once the thread is interrupted.
pub(crate) struct ThreadInterrupt;

impl Interrupt for ThreadInterrupt {
    fn check(&self) -> Result<()> {
        if !ffi::is_interrupted()? {
            return Ok(());
        }
        ENDED.set(Ended::Interrupted);
        Err(Error::new(Kind::Cancelled, "the thread was interrupted"))
    }
}
