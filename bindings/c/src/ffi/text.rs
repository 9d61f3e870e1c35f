//! Strings and pairs of them, as they cross.

use std::ffi::c_char;

/// A string: where it begins and how many bytes it has.
///
/// Going in it is UTF-8, borrowed for the time of the call, and needs no NUL. `data` NULL and `len` 0 means that
/// it is not given, which is not the same as an empty string. Coming out it is borrowed from the object that it
/// was asked of and valid until that is freed; a NUL stands behind it, which `len` does not count; `data` NULL
/// means that there is none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Str {
    /// The first byte.
    pub data: *const c_char,
    /// How many bytes.
    pub len: usize,
}

/// A name and its value: a header, a label, a parameter, a field of a form.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Field {
    /// The name.
    pub name: Str,
    /// The value.
    pub value: Str,
}

impl Str {
    /// Not given, or not there.
    pub(crate) const NONE: Str = Str { data: std::ptr::null(), len: 0 };

    /// What lies on a shelf, or is otherwise followed by a NUL that is part of these bytes.
    pub(crate) fn lent(with_nul: &[u8]) -> Str {
        Str { data: with_nul.as_ptr().cast(), len: with_nul.len().saturating_sub(1) }
    }

    /// The same for what may not be there.
    pub(crate) fn lent_if(with_nul: Option<&[u8]>) -> Str {
        with_nul.map_or(Str::NONE, Str::lent)
    }

    /// Whether something was given.
    pub(crate) fn is_given(self) -> bool {
        !self.data.is_null() || self.len > 0
    }
}

impl Field {
    /// Not there.
    pub(crate) const NONE: Field = Field { name: Str::NONE, value: Str::NONE };
}
