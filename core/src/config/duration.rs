//! Durations as people write them: `"250ms"`, `"5s"`, `"1m30s"`, or a number of seconds.

use std::fmt;
use std::time::Duration;

use plumline_wire::duration::from_seconds;
pub use plumline_wire::duration::{format_duration, parse_duration};
use schemars::{JsonSchema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Visitor};
use serde::ser::Serializer;

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
        from_seconds(seconds).ok_or_else(|| {
            E::custom(format!("{seconds} is not a valid duration; it must be 0 or more seconds"))
        })
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
