//! What a callback failed with, kept until the export that called it ends: it is what the export fails with.
//!
//! The core is given an error to stop for; whatever it makes of that, the callback's own words come out.

use std::cell::RefCell;

use plumline::Error;

thread_local! {
    static RAISED: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Begins an export: a callback may call us again, and what was raised out there is not for the inner one.
#[inline]
pub(crate) fn begin() -> Option<Error> {
    RAISED.try_with(|raised| raised.borrow_mut().take()).ok().flatten()
}

/// Ends it; whatever a callback inside it has raised comes out, with what the core knows of the call.
#[inline]
pub(crate) fn end<T>(outer: Option<Error>, result: Result<T, Error>) -> Result<T, Error> {
    let raised = RAISED.try_with(|raised| raised.replace(outer)).ok().flatten();
    match raised {
        None => result,
        Some(raised) => Err(with_story(raised, result.err())),
    }
}

#[cold]
fn with_story(raised: Error, of_core: Option<Error>) -> Error {
    let Some(story) = of_core else { return raised };
    let mut raised = raised.after(story.attempts(), story.trace().to_vec());
    if let Some(service) = story.service() {
        raised = raised.for_service(service);
    }
    match story.endpoint() {
        Some(endpoint) => raised.at_endpoint(endpoint.clone()),
        None => raised,
    }
}

/// Keeps what a callback failed with; gives the core an error to stop for.
pub(crate) fn keep(error: Error) -> Error {
    RAISED.with_borrow_mut(|raised| raised.get_or_insert(error).clone())
}

/// Whether a callback has failed inside the present export.
pub(crate) fn is_there() -> bool {
    RAISED.with_borrow(Option::is_some)
}
