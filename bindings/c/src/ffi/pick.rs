//! An endpoint chosen for one use, of any protocol.

use std::sync::OnceLock;

use super::boundary::{free, look};
use super::endpoint::Endpoint;

/// An endpoint chosen for one use. Say how it went with `plumline_pick_success()` or `plumline_pick_failure()`; the
/// first word counts, and none is neutral. Any thread may use it. Yours to free with `plumline_pick_free()`.
pub struct Pick {
    inner: plumline::Pick,
    /// Made when somebody asks: a pick on its own is one allocation.
    endpoint: OnceLock<Endpoint>,
}

impl From<plumline::Pick> for Pick {
    #[inline]
    fn from(inner: plumline::Pick) -> Pick {
        Pick { inner, endpoint: OnceLock::new() }
    }
}

/// The endpoint. It belongs to the pick.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_pick_endpoint(pick: Option<&Pick>) -> Option<&Endpoint> {
    let endpoint = |pick: &Pick| pick.inner.endpoint().clone().into();
    look(pick, None, |pick| Some(pick.endpoint.get_or_init(|| endpoint(pick))))
}

/// Whether its service's list is older than it should be, because the registry does not answer.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_pick_is_stale(pick: Option<&Pick>) -> bool {
    look(pick, false, |pick| pick.inner.is_stale())
}

/// It went well. Nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_pick_success(pick: Option<&Pick>) {
    settle(pick, plumline::Pick::success);
}

/// It did not. Nothing for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_pick_failure(pick: Option<&Pick>) {
    settle(pick, plumline::Pick::failure);
}

fn settle(pick: Option<&Pick>, word: impl FnOnce(&plumline::Pick)) {
    look(pick, (), |pick| word(&pick.inner));
}

/// Frees a pick; one that nothing was said of is neutral, and counted in the figures. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_pick_free(pick: Option<Box<Pick>>) {
    free(pick);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pick_is_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Pick>();
    }
}
