//! What the library warns of, heard as a program's log hears it.

use std::io;
use std::sync::{Mutex, Once, PoisonError};

use tracing_subscriber::filter::LevelFilter;

static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Listens from now on.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let log = tracing_subscriber::fmt().with_max_level(LevelFilter::WARN).with_ansi(false);
        log.with_writer(|| Ear).init();
    });
}

/// The warnings that hold each of these.
pub fn with(parts: &[&str]) -> Vec<String> {
    let heard = HEARD.lock().unwrap_or_else(PoisonError::into_inner);
    heard.iter().filter(|line| parts.iter().all(|part| line.contains(part))).cloned().collect()
}

struct Ear;

impl io::Write for Ear {
    /// Each record is written as one.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        HEARD.lock().unwrap_or_else(PoisonError::into_inner).push(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
