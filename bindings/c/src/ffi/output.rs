//! What goes out: objects into the caller's variables.

use std::marker::PhantomData;

use plumline::Result;

use super::input::null;

/// A variable of the caller's that takes a handle.
pub(crate) struct Out<T> {
    place: *mut *mut T,
    owns: PhantomData<T>,
}

impl<T> Out<T> {
    /// One that may be NULL: then what is given to it is freed.
    #[inline]
    pub(crate) fn optional(place: *mut *mut T) -> Out<T> {
        Out { place, owns: PhantomData }
    }

    /// One that may not.
    #[inline]
    pub(crate) fn required(name: &str, place: *mut *mut T) -> Result<Out<T>> {
        if place.is_null() { Err(null(name)) } else { Ok(Out::optional(place)) }
    }

    /// Sets it to NULL.
    #[inline]
    pub(crate) fn clear(&self) {
        if !self.place.is_null() {
            // SAFETY: not null; that it is a variable is the caller's promise. What it held is not read.
            unsafe { self.place.write(std::ptr::null_mut()) }
        }
    }

    /// Gives an object away.
    #[inline]
    pub(crate) fn give(&self, object: T) {
        if !self.place.is_null() {
            // SAFETY: as above.
            unsafe { self.place.write(Box::into_raw(Box::new(object))) }
        }
    }
}

/// Writes a plain value into a variable of the caller's.
pub(crate) fn store<T>(name: &str, place: *mut T, value: T) -> Result<()> {
    if place.is_null() {
        return Err(null(name));
    }
    // SAFETY: not null; that it is a variable is the caller's promise.
    unsafe { place.write(value) };
    Ok(())
}

/// Takes back an object that a callback has made for us; `None` where it made none.
pub(crate) fn taken<T>(object: *mut T) -> Option<Box<T>> {
    if object.is_null() {
        return None;
    }
    // SAFETY: whatever a callback puts there was made by one of our functions, and is ours from now on.
    Some(unsafe { Box::from_raw(object) })
}
