//! Ends a wait early: Ctrl-C in Python, `Thread.interrupt` in Java, `close()` from another thread.
//!
//! Every wait on a caller's thread checks its [`Interrupt`] at least every [`SLICE`], on that thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// The longest time between two checks of a wait.
pub const SLICE: Duration = Duration::from_millis(100);

/// Checked regularly by a waiting thread.
pub trait Interrupt: Send + Sync {
    /// `Err` ends the wait with that error ([`Kind::Cancelled`] or [`Kind::Closed`]).
    fn check(&self) -> Result<()>;
}

/// An interrupt that never ends a wait.
pub struct Never;

impl Interrupt for Never {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// A borrowed client, service handle, watch or registration whose waits an [`Interrupt`] can end.
///
/// Made by `with_interrupt` of the type it borrows; its methods have the same names and do the same.
#[derive(Clone, Copy)]
pub struct Interruptible<'a, T> {
    pub(crate) target: &'a T,
    pub(crate) interrupt: &'a dyn Interrupt,
}

impl<'a, T> Interruptible<'a, T> {
    pub(crate) fn new(target: &'a T, interrupt: &'a dyn Interrupt) -> Interruptible<'a, T> {
        Interruptible { target, interrupt }
    }
}

/// A flag that ends waits once it is set: how `close()` reaches calls in flight.
#[derive(Default)]
pub struct Closing(AtomicBool);

impl Closing {
    /// Sets the flag; true for the one caller who set it first.
    pub fn close(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// Whether it is set.
    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Interrupt for Closing {
    fn check(&self) -> Result<()> {
        if self.is_closed() { Err(Error::new(Kind::Closed, "the client was closed")) } else { Ok(()) }
    }
}
