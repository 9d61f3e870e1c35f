//! The library itself: versions, names, the schema of its settings; and strings made of C's own.

use std::ffi::{CStr, CString, c_char};
use std::sync::OnceLock;

use super::boundary::{Kind, say};
use super::input::c_string;
use super::kinds::PLUMLINE_OK;
use super::text::Str;

/// Grows by one when a program that was built against an older header would no longer work.
pub const PLUMLINE_ABI_VERSION: u32 = 1;

/// The version of the library, such as `0.1.0`, ended by a NUL. Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// `PLUMLINE_ABI_VERSION` as the library has it; the header's may differ, if it is another release's.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_abi_version() -> u32 {
    PLUMLINE_ABI_VERSION
}

/// The name of a kind of error, such as `NoEndpoint`, ended by a NUL; `Ok` for `PLUMLINE_OK`, `Unknown` for a number
/// that is none. Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_kind_name(kind: Kind) -> *const c_char {
    say(c"Unknown".as_ptr(), || name_of(kind).as_ptr())
}

fn name_of(kind: Kind) -> &'static CStr {
    if kind == PLUMLINE_OK {
        return c"Ok";
    }
    let known = names().iter().find(|(known, _)| i32::from(known.number()) == kind);
    known.map_or(c"Unknown", |(_, name)| name.as_c_str())
}

fn names() -> &'static [(plumline::Kind, CString)] {
    static NAMES: OnceLock<Vec<(plumline::Kind, CString)>> = OnceLock::new();
    let name = |kind: plumline::Kind| (kind, CString::new(kind.name()).unwrap_or_default());
    NAMES.get_or_init(|| plumline::Kind::ALL.into_iter().map(name).collect())
}

/// The JSON Schema of the configuration, as JSON, ended by a NUL. Valid for ever.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_config_schema() -> *const c_char {
    static SCHEMA: OnceLock<CString> = OnceLock::new();
    let schema = || CString::new(plumline::Config::schema().to_string()).unwrap_or_default();
    say(c"{}".as_ptr(), || SCHEMA.get_or_init(schema).as_ptr())
}

/// A string of C's own: everything before its NUL. It is borrowed. NULL is a string that is not given.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_str_from(text: *const c_char) -> Str {
    say(Str::NONE, || c_string(text))
}
