//! The one way in: every export runs inside [`boundary`], or inside [`look`] or [`say`] if it only reads.

use plumline::{Error, Result};
use plumline_bindings::guard::guarded;

use super::error::ErrorHandle;
use super::kinds::PLUMLINE_OK;
use super::output::Out;
use crate::raised;

/// What a function came to: `PLUMLINE_OK`, or the kind of its error.
pub type Kind = i32;

/// Runs an export. A panic becomes an ordinary Internal error; what a callback failed with comes out as it is.
#[inline]
pub(crate) fn boundary(error: *mut *mut ErrorHandle, export: impl FnOnce() -> Result<()>) -> Kind {
    let outer = raised::begin();
    let result = raised::end(outer, guarded::<(), Error>(export));
    let told = Out::optional(error);
    match result {
        Ok(()) => {
            told.clear();
            PLUMLINE_OK
        }
        Err(failed) => {
            let kind = i32::from(failed.kind().number());
            told.give(ErrorHandle::from(failed));
            kind
        }
    }
}

/// The same for an export that makes something: `out` gets it, or NULL.
#[inline]
pub(crate) fn make<T>(
    name: &str,
    out: *mut *mut T,
    error: *mut *mut ErrorHandle,
    export: impl FnOnce() -> Result<T>,
) -> Kind {
    make_if(name, out, error, || export().map(Some))
}

/// The same where there may be nothing to give.
#[inline]
pub(crate) fn make_if<T>(
    name: &str,
    out: *mut *mut T,
    error: *mut *mut ErrorHandle,
    export: impl FnOnce() -> Result<Option<T>>,
) -> Kind {
    boundary(error, || {
        let out = Out::required(name, out)?;
        out.clear();
        if let Some(made) = export()? {
            out.give(made);
        }
        Ok(())
    })
}

/// Reads something of an object; `otherwise` if there is no object.
#[inline]
pub(crate) fn look<'a, T, R>(object: Option<&'a T>, otherwise: R, read: impl FnOnce(&'a T) -> R) -> R {
    let Some(object) = object else { return otherwise };
    say(otherwise, || read(object))
}

/// Says something that needs no object and cannot fail; `otherwise` after a panic.
#[inline]
pub(crate) fn say<R>(otherwise: R, say: impl FnOnce() -> R) -> R {
    guarded::<R, Error>(|| Ok(say())).unwrap_or(otherwise)
}

/// Frees an object; NULL is nothing to free.
pub(crate) fn free<T>(object: Option<Box<T>>) {
    // A panic while something is dropped leaks what is left of it; there is nobody to tell.
    let _ = guarded::<(), Error>(|| {
        drop(object);
        Ok(())
    });
}
