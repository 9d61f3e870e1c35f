//! What the library has to say, queued for a thread of the caller's.

use std::ffi::{c_char, c_void};

use plumline::{Error, Result};
use plumline_bindings::logs::{self, Level};

use super::boundary::{Kind, boundary};
use super::client::Client;
use super::error::ErrorHandle;
use super::input::need;

/// Details for whoever looks for a fault.
pub const PLUMLINE_LOG_DEBUG: i32 = 10;
/// What happened, for the record.
pub const PLUMLINE_LOG_INFO: i32 = 20;
/// Something that somebody should look at.
pub const PLUMLINE_LOG_WARN: i32 = 30;
/// Something that went wrong.
pub const PLUMLINE_LOG_ERROR: i32 = 40;

/// Gets one record: its level, `PLUMLINE_LOG_…`, and its line, ended by a NUL, valid until it returns.
pub type Log = Option<extern "C" fn(user_data: *mut c_void, level: i32, message: *const c_char)>;

/// Hands what has been logged, by any client of this process, to `log`, on this thread, and returns. A thousand
/// records wait at most; later ones are dropped, and counted in a record. A closed client will do.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_client_drain_logs(
    client: Option<&Client>,
    log: Log,
    user_data: *mut c_void,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        need("client", client)?;
        drain(log, user_data)
    })
}

fn drain(log: Log, user_data: *mut c_void) -> Result<()> {
    let log = log.ok_or_else(|| Error::invalid("log is NULL"))?;
    for line in logs::take() {
        let level = match line.level {
            Level::ERROR => PLUMLINE_LOG_ERROR,
            Level::WARN => PLUMLINE_LOG_WARN,
            Level::INFO => PLUMLINE_LOG_INFO,
            _ => PLUMLINE_LOG_DEBUG,
        };
        let message = std::ffi::CString::new(line.message.replace('\0', " ")).unwrap_or_default();
        log(user_data, level, message.as_ptr());
    }
    Ok(())
}

/// Waits until something has been logged: for a thread that does nothing but `plumline_client_drain_logs()`. True, or
/// false as soon as no client of this process is open.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_wait_logs() -> bool {
    let mut is_open = false;
    boundary(std::ptr::null_mut(), || {
        is_open = logs::wait();
        Ok(())
    });
    is_open
}
