//! The changes of services, as an iterator.

use std::sync::Arc;
use std::time::Duration;

use crate::catalog::CatalogWatch;
use crate::error::Result;
use crate::interrupt::{Closing, Interrupt, Interruptible, Never};
use crate::model::Change;

/// Delivers the current endpoints of a service, then every change. A slow reader gets merged changes, without gaps.
///
/// As an iterator it waits for each change and ends when the watch or its client is closed. `next_within` and
/// `close` may be called from any thread.
///
/// ```
/// # let plum = plumline::Client::new("static://127.0.0.1:8080")?;
/// let mut watch = plum.watch("orders")?;
/// let first = watch.next().unwrap();
/// assert_eq!((first.kind.name(), first.endpoints.len()), ("snapshot", 1));
/// # Ok::<(), plumline::Error>(())
/// ```
#[derive(Clone)]
pub struct Watch {
    pub(super) watching: Arc<CatalogWatch>,
    pub(super) closing: Arc<Closing>,
}

impl Watch {
    pub(super) fn new(watching: CatalogWatch, closing: Arc<Closing>) -> Watch {
        Watch { watching: Arc::new(watching), closing }
    }

    /// Waits for the next change; `None` when the timeout has passed without one. Without a timeout it waits until
    /// there is a change.
    /// [`Kind::Closed`](crate::Kind::Closed) after `close()`.
    pub fn next_within(&self, timeout: impl Into<Option<Duration>>) -> Result<Option<Change>> {
        self.with_interrupt(&Never).next_within(timeout)
    }

    /// Borrows the watch for waits that `interrupt` can end.
    pub fn with_interrupt<'a>(&'a self, interrupt: &'a dyn Interrupt) -> Interruptible<'a, Watch> {
        Interruptible::new(self, interrupt)
    }

    /// Closes the watch: waiting calls fail with [`Kind::Closed`](crate::Kind::Closed).
    pub fn close(&self) {
        self.watching.close();
    }
}

impl Iterator for Watch {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        self.with_interrupt(&Never).next_within(None).ok().flatten()
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}
