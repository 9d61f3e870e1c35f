//! The library itself: versions, names, the schema of its settings; and strings made of C's own.

use std::ffi::{CString, c_char};
use std::sync::OnceLock;

use super::boundary::Kind;
use super::input::c_string;
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
    use plumline::Kind as Of;
    let known = Of::ALL.into_iter().find(|known| i32::from(known.number()) == kind);
    let name = match known {
        None if kind == super::kinds::PLUMLINE_OK => c"Ok",
        None => c"Unknown",
        Some(known) => {
            names().iter().find(|(of, _)| *of == known).map_or(c"Unknown", |(_, name)| name.as_c_str())
        }
    };
    name.as_ptr()
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
    SCHEMA.get_or_init(schema).as_ptr()
}

/// A string of C's own: everything before its NUL. It is borrowed. NULL is a string that is not given.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_str_from(text: *const c_char) -> Str {
    c_string(text)
}
