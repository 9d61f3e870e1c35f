//! Everything that is counted.

use plumline::{Error, Kind as ErrorKind, Result};
use serde_json::Value;

use super::boundary::{Kind, boundary, free, look};
use super::error::ErrorHandle;
use super::input::{need, text};
use super::output::store;
use super::text::Str;
use crate::shelf::Shelf;

/// Everything a client counts, as it was when it was asked. Yours to free with `plumline_stats_free()`.
pub struct Stats {
    value: Value,
    json: Shelf,
}

impl Stats {
    pub(crate) fn new(stats: &plumline::Stats) -> Result<Stats> {
        let value = serde_json::to_value(stats)
            .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let json = Shelf::of([value.to_string()]);
        Ok(Stats { value, json })
    }
}

/// All of it, as JSON.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_stats_json(stats: Option<&Stats>) -> Str {
    look(stats, Str::NONE, |stats| Str::lent_if(stats.json.get(0)))
}

/// One figure, by its JSON pointer (RFC 6901), such as `/services/orders/calls` or `/threads`. True is 1, false 0.
/// `PLUMLINE_INVALID_ARGUMENT` where there is no such figure, or it is none yet.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_stats_number(
    stats: Option<&Stats>,
    pointer: Str,
    number: *mut f64,
    error: *mut *mut ErrorHandle,
) -> Kind {
    boundary(error, || {
        let (stats, pointer) = (need("stats", stats)?, text("pointer", &pointer)?);
        let figure = match stats.value.pointer(pointer) {
            Some(Value::Bool(truth)) => Some(f64::from(u8::from(*truth))),
            Some(other) => other.as_f64(),
            None => None,
        };
        let figure = figure.ok_or_else(|| Error::invalid(format!("there is no figure at {pointer:?}")))?;
        store("number", number, figure)
    })
}

/// Frees figures. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn plumline_stats_free(stats: Option<Box<Stats>>) {
    free(stats);
}
