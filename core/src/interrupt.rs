//! How a wait is told to stop: Ctrl-C in Python, `Thread.interrupt` in Java, `close()` from another thread.
//!
//! Every wait on a caller's thread asks its [`Interrupt`] at least every [`SLICE`], on that thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, Kind, Result};

/// The longest a waiting thread goes without asking whether it should stop.
pub const SLICE: Duration = Duration::from_millis(100);

/// Asked now and then by whoever waits.
pub trait Interrupt: Send + Sync {
    /// `Err` ends the wait with that error ([`Kind::Cancelled`] or [`Kind::Closed`]).
    fn check(&self) -> Result<()>;
}

/// The interrupt that never comes.
pub struct Never;

impl Interrupt for Never {
    fn check(&self) -> Result<()> {
        Ok(())
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
