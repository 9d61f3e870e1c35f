//! What comes in by pointer: checked as far as a pointer can be, then read.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use plumline::{Error, Result};

use super::text::{Field, Str};

/// The largest size a struct of a later version may have; anything above is no size.
const LARGEST: usize = 4096;

/// A real zero in a field of 32 bits where 0 stands for the default.
pub const PLUMLINE_ZERO: u32 = 0xFFFF_FFFF;
/// The same in a field of 64 bits.
pub const PLUMLINE_ZERO_64: u64 = 0xFFFF_FFFF_FFFF_FFFF;

/// What 32 bits say, if anything.
pub(crate) fn count(given: u32) -> Option<u32> {
    match given {
        0 => None,
        PLUMLINE_ZERO => Some(0),
        count => Some(count),
    }
}

/// What 64 bits say, if anything.
pub(crate) fn amount(given: u64) -> Option<u64> {
    match given {
        0 => None,
        PLUMLINE_ZERO_64 => Some(0),
        amount => Some(amount),
    }
}

/// A struct that may grow: it begins with a `uint32_t size`, and zero in any field stands for its default.
///
/// # Safety
///
/// The type is `repr(C)`, begins with a `u32`, and every pattern of bits is a value of it.
pub(crate) unsafe trait Growing: Copy {
    /// The argument's name.
    const NAME: &'static str;
    /// What it is to be initialised with.
    const INIT: &'static str;
}

/// The object behind a handle.
#[inline]
pub(crate) fn need<'a, T>(name: &str, handle: Option<&'a T>) -> Result<&'a T> {
    handle.ok_or_else(|| null(name))
}

/// The object behind a handle that C's types say may be changed; we only ever share it.
pub(crate) fn shared<T>(handle: &*mut T) -> Option<&T> {
    // SAFETY: null is told apart; any other handle is alive by the caller's promise, and nobody has it exclusively.
    unsafe { handle.as_ref() }
}

#[cold]
pub(crate) fn null(name: &str) -> Error {
    Error::invalid(format!("{name} is NULL"))
}

/// Bytes.
pub(crate) fn bytes<'a>(name: &str, given: &'a Str) -> Result<&'a [u8]> {
    borrowed(name, given.data.cast(), given.len)
}

/// Text that is UTF-8; not given is empty.
#[inline]
pub(crate) fn text<'a>(name: &str, given: &'a Str) -> Result<&'a str> {
    let bytes = bytes(name, given)?;
    std::str::from_utf8(bytes).map_err(|error| {
        Error::invalid(format!("{name} is not valid UTF-8, from byte {} on", error.valid_up_to()))
    })
}

/// The same, `None` where it is not given.
pub(crate) fn optional_text<'a>(name: &str, given: &'a Str) -> Result<Option<&'a str>> {
    if given.is_given() { text(name, given).map(Some) } else { Ok(None) }
}

/// Pairs of text.
pub(crate) fn fields<'a>(
    name: &str,
    first: &'a *const Field,
    count: usize,
) -> Result<Vec<(&'a str, &'a str)>> {
    let pair = |field: &'a Field| {
        let key = text(&format!("a name in {name}"), &field.name)?;
        Ok((key, text(&format!("{name} {key:?}"), &field.value)?))
    };
    slice(name, first, count)?.iter().map(pair).collect()
}

/// An array, borrowed as long as the pointer to it is.
pub(crate) fn slice<'a, T>(name: &str, first: &'a *const T, count: usize) -> Result<&'a [T]> {
    borrowed(name, *first, count)
}

/// The same, for as long as its caller says: only for those above, which borrow as long as what they were given.
fn borrowed<'a, T>(name: &str, first: *const T, count: usize) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if first.is_null() {
        return Err(Error::invalid(format!("{name} is NULL, but its length is {count}")));
    }
    let fits = count.checked_mul(size_of::<T>()).is_some_and(|size| isize::try_from(size).is_ok());
    if !fits {
        return Err(Error::invalid(format!("the length of {name} is {count}; nothing is that long")));
    }
    if !first.is_aligned() {
        return Err(Error::invalid(format!("{name} is not aligned")));
    }
    // SAFETY: not null, aligned, no longer than memory can be; that so many are there is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(first, count) })
}

/// A C string; NULL is not given.
pub(crate) fn c_string(given: *const c_char) -> Str {
    if given.is_null() {
        return Str::NONE;
    }
    // SAFETY: not null; that a NUL ends it is the caller's promise.
    Str { data: given, len: unsafe { libc::strlen(given) } }
}

/// A struct of this or another version: fields that it does not have yet keep their defaults; what it says beyond
/// this version is refused, unless it says nothing.
pub(crate) fn grown<T: Growing>(given: *const T) -> Result<T> {
    let (name, init, ours) = (T::NAME, T::INIT, size_of::<T>());
    if given.is_null() {
        return Err(null(name));
    }
    if !given.is_aligned() {
        return Err(Error::invalid(format!("{name} is not aligned")));
    }
    // SAFETY: not null, aligned, and every such struct begins with its size.
    let size = unsafe { given.cast::<u32>().read() } as usize;
    if !(8..=LARGEST).contains(&size) || !size.is_multiple_of(align_of::<T>()) {
        return Err(Error::invalid(format!("the size of {name} is {size}; initialise it with {init}")));
    }
    let more = ours.min(size)..size;
    // SAFETY: the caller's struct is as long as it says.
    let beyond = unsafe { std::slice::from_raw_parts(given.cast::<u8>().add(more.start), more.len()) };
    if beyond.iter().any(|byte| *byte != 0) {
        return Err(Error::invalid(format!(
            "the size of {name} is {size} and it says something that this version of the library ({ours}) does not \
             know; install the library that the header belongs to"
        )));
    }
    let mut whole = MaybeUninit::<T>::zeroed();
    // SAFETY: both are at least as long as the shorter; zeros and any bits from the caller make a T.
    Ok(unsafe {
        whole.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(given.cast(), ours.min(size));
        whole.assume_init()
    })
}

/// The same where NULL means that nothing is said.
pub(crate) fn grown_if<T: Growing>(given: *const T) -> Result<Option<T>> {
    if given.is_null() { Ok(None) } else { grown(given).map(Some) }
}

/// Objects behind an array of handles.
pub(crate) fn handles<'a, T>(name: &str, first: &'a *const *const T, count: usize) -> Result<Vec<&'a T>> {
    let each = |handle: &'a *const T| {
        // SAFETY: null is told apart; any other handle is alive by the caller's promise.
        unsafe { handle.as_ref() }.ok_or_else(|| null(&format!("one of {name}")))
    };
    slice(name, first, count)?.iter().map(each).collect()
}
