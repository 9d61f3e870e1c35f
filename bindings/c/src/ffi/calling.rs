//! Functions of the caller's, and the data they were given with, on their way to whichever thread calls.

/// What leads to the caller's code. That it may be used from every thread is the caller's promise, which the header
/// asks for.
pub(crate) struct Calling<T>(T);

// SAFETY: the pointers are never followed here, only handed back to the caller's own functions, which are told that
// several threads may call them at once.
unsafe impl<T> Send for Calling<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Calling<T> {}

impl<T> Calling<T> {
    pub(crate) fn new(code: T) -> Calling<T> {
        Calling(code)
    }

    pub(crate) fn get(&self) -> &T {
        &self.0
    }
}
