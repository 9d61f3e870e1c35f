//! Durations as people write them: `"250ms"`, `"5s"`, `"1m30s"`, or a number of seconds.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Visitor};
use serde::ser::Serializer;

const UNITS: [(&str, f64); 6] =
    [("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];

/// Reads `"250ms"`, `"1.5s"`, `"1m30s"` or a bare number of seconds.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(plumline::config::parse_duration("1m30s"), Ok(Duration::from_secs(90)));
/// assert!(plumline::config::parse_duration("soon").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse =
        || format!("{text:?} is no duration; write \"250ms\", \"5s\", \"1m30s\" or a number of seconds");
    if let Ok(seconds) = text.parse::<f64>() {
        return from_seconds(seconds).ok_or_else(refuse);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let amount: f64 = rest[..digits].parse().map_err(|_| refuse())?;
        rest = &rest[digits..];
        let (unit, scale) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit)).ok_or_else(refuse)?;
        rest = &rest[unit.len()..];
        seconds += amount * scale;
    }
    if text.is_empty() { Err(refuse()) } else { from_seconds(seconds).ok_or_else(refuse) }
}

/// Whole nanoseconds, so that `"0.8"` and `"800ms"` are the same duration.
fn from_seconds(seconds: f64) -> Option<Duration> {
    let nanos = (seconds * 1e9).round();
    (0.0..9e18).contains(&nanos).then(|| Duration::from_nanos(nanos as u64))
}

/// Writes a duration so that [`parse_duration`] reads it back: `"250ms"`, `"1.5s"`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".into(),
        _ if nanos.is_multiple_of(1_000_000_000) => format!("{}s", duration.as_secs()),
        _ if nanos.is_multiple_of(1_000_000) => format!("{}ms", duration.as_millis()),
        _ if nanos.is_multiple_of(1_000) => format!("{}us", duration.as_micros()),
        _ => format!("{nanos}ns"),
    }
}

/// Serializes as [`format_duration`] writes.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format_duration(*duration))
}

/// Reads a string or a number of seconds.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Reader)
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"250ms\" or a number of seconds")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Duration, E> {
        parse_duration(text).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Duration, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Duration, E> {
        self.visit_f64(seconds as f64)
    }

    fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Duration, E> {
        from_seconds(seconds)
            .ok_or_else(|| E::custom(format!("{seconds} is no duration; it must be 0 or more seconds")))
    }
}

/// The same for a duration that may be absent (`null`).
pub mod optional_duration {
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer};
    use serde::ser::Serializer;

    /// Serializes `None` as `null`.
    #[allow(clippy::ref_option, reason = "the signature serde asks for")]
    pub fn serialize<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => super::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads `null` as `None`.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        #[derive(serde::Deserialize)]
        struct Wrapped(#[serde(deserialize_with = "super::deserialize")] Duration);
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}

/// How a duration looks in the JSON Schema.
pub struct Schema;

impl JsonSchema for Schema {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
        json_schema!({
            "description": "A duration: a string such as \"250ms\", \"5s\", \"1m30s\", or a number of seconds.",
            "anyOf": [{"type": "string", "pattern": "^([0-9.]+(ns|us|ms|s|m|h)?)+$"}, {"type": "number", "minimum": 0}]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, millis) in
            [("250ms", 250), ("5s", 5000), ("1m30s", 90_000), ("0.8", 800), ("0", 0), ("2h", 7_200_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for nonsense in ["", "-1", "fast", "5 s", "1x", "NaN", "inf", "1e300", "s"] {
            assert!(parse_duration(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for nanos in [0, 1, 999, 1_000, 250_000_000, 1_500_000_000, 90_000_000_000] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
