//! Changes as they happen.

use plumline::ChangeKind;

use super::boundary::{Kind, boundary, free, look, make_if};
use super::endpoint::Endpoints;
use super::error::ErrorHandle;
use super::input::need;
use super::request::optional_millis;
use super::text::Str;
use crate::shelf::Shelf;

/// The present state; always the first.
pub const PLUMLINE_CHANGE_SNAPSHOT: i32 = 1;
/// Endpoints came, went or changed.
pub const PLUMLINE_CHANGE_CHANGED: i32 = 2;
/// The registry stopped answering; the list stays as it was.
pub const PLUMLINE_CHANGE_REGISTRY_DOWN: i32 = 3;
/// The registry answers again.
pub const PLUMLINE_CHANGE_REGISTRY_UP: i32 = 4;

/// Tells of every change, beginning with what is there. A slow reader gets changes merged, never a gap. Any thread
/// may use it. Yours to free with `plumline_watch_free()`.
pub struct Watch(pub(crate) plumline::Watch);

/// One step of a watch: what happened, and the full list after it. It never changes. Yours to free.
pub struct Change {
    kind: ChangeKind,
    words: Shelf,
    added: Endpoints,
    updated: Endpoints,
    removed: Endpoints,
    endpoints: Endpoints,
}

impl From<plumline::Change> for Change {
    fn from(change: plumline::Change) -> Change {
        Change {
            kind: change.kind,
            words: Shelf::of([change.service.as_str(), change.kind.name()]),
            added: change.added.into(),
            updated: change.updated.into(),
            removed: change.removed.into(),
            endpoints: change.endpoints.into(),
        }
    }
}

/// The next change, yours to free; NULL, with `PLUMLINE_OK`, when `timeout_ms` milliseconds have passed without one.
/// Below 0 it waits for ever. `PLUMLINE_CLOSED` once the watch or its client is closed.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_watch_next(
    watch: Option<&Watch>,
    timeout_ms: i64,
    change: *mut *mut Change,
    error: *mut *mut ErrorHandle,
) -> Kind {
    make_if("change", change, error, || {
        let next = need("watch", watch)?.0.next_within(optional_millis(timeout_ms))?;
        Ok(next.map(Change::from))
    })
}

/// Ends it: whoever waits for a change, in whichever thread, gets `PLUMLINE_CLOSED`. Again, and for NULL: does nothing.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_watch_close(watch: Option<&Watch>) {
    boundary(std::ptr::null_mut(), || {
        watch.inspect(|watch| watch.0.close());
        Ok(())
    });
}

/// Frees a watch, and ends it. Nobody may wait in it any more: close it first. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_watch_free(watch: Option<Box<Watch>>) {
    plumline_watch_close(watch.as_deref());
    free(watch);
}

/// What happened: `PLUMLINE_CHANGE_…`; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_change_kind(change: Option<&Change>) -> i32 {
    look(change, 0, |change| match change.kind {
        ChangeKind::Snapshot => PLUMLINE_CHANGE_SNAPSHOT,
        ChangeKind::RegistryDown => PLUMLINE_CHANGE_REGISTRY_DOWN,
        ChangeKind::RegistryUp => PLUMLINE_CHANGE_REGISTRY_UP,
        _ => PLUMLINE_CHANGE_CHANGED,
    })
}

/// What happened, in a word: `snapshot`, `changed`, `registry_down` or `registry_up`.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_change_kind_name(change: Option<&Change>) -> Str {
    look(change, Str::NONE, |change| Str::lent_if(change.words.get(1)))
}

/// The service it concerns.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_change_service(change: Option<&Change>) -> Str {
    look(change, Str::NONE, |change| Str::lent_if(change.words.get(0)))
}

/// Every endpoint there is now. The list belongs to the change.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_change_endpoints(change: Option<&Change>) -> Option<&Endpoints> {
    look(change, None, |change| Some(&change.endpoints))
}

/// Endpoints that were not there before. The list belongs to the change.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_change_added(change: Option<&Change>) -> Option<&Endpoints> {
    look(change, None, |change| Some(&change.added))
}

/// Endpoints whose record is another one now. The list belongs to the change.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_change_updated(change: Option<&Change>) -> Option<&Endpoints> {
    look(change, None, |change| Some(&change.updated))
}

/// Endpoints that are gone. The list belongs to the change.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_change_removed(change: Option<&Change>) -> Option<&Endpoints> {
    look(change, None, |change| Some(&change.removed))
}

/// Frees a change and its lists. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_change_free(change: Option<Box<Change>>) {
    free(change);
}
