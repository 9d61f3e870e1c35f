//! The process-wide background.

use std::sync::atomic::{AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Which process this is: counts the forks since the library was loaded.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}
