//! The settings of one service: every key of [`Settings`], each of them optional.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};
use serde::ser::Serializer;

use super::{
    BackoffKind, OutlierConfig, RetryConfig, Settings, Strategy, TlsConfig, duration, optional_duration,
};

/// Replaces in `base` whatever is set here.
pub(super) trait Overrides<Base> {
    fn apply(&self, base: &mut Base);
}

/// Headers of the same name are replaced, the others stay.
impl Overrides<BTreeMap<String, String>> for BTreeMap<String, String> {
    fn apply(&self, base: &mut BTreeMap<String, String>) {
        base.extend(self.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
}

macro_rules! overrides {
    (
        $(#[$about:meta])* $name:ident of $base:ident {
            $($(#[$attribute:meta])* $field:ident: $type:ty,)*
        }
        $(sections { $($section:ident: $overrides:ty,)* })?
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name {
            $(
                #[doc = concat!("Replaces [`", stringify!($base), "::", stringify!($field), "`].")]
                $(#[$attribute])*
                #[serde(skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
            $($(
                #[doc = concat!("Changes [`", stringify!($base), "::", stringify!($section), "`], key by key.")]
                #[serde(skip_serializing_if = "is_default")]
                pub $section: $overrides,
            )*)?
        }

        impl Overrides<$base> for $name {
            fn apply(&self, base: &mut $base) {
                $(if let Some(value) = &self.$field {
                    base.$field.clone_from(value);
                })*
                $($(self.$section.apply(&mut base.$section);)*)?
            }
        }
    };
}

overrides! {
    /// The settings of one service that differ from the common ones. A doubled `Option` can also unset a common value:
    /// `Some(None)`, in JSON `null`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use plumline::config::{Config, ServiceSettings};
    /// let mut orders = ServiceSettings::default();
    /// orders.timeout = Some(Duration::from_secs(2));
    /// orders.retry.attempts = Some(5);
    /// let mut config = Config::default();
    /// config.services.insert("orders".into(), orders);
    /// assert_eq!(config.settings_for("orders").retry.attempts, 5);
    /// ```
    ServiceSettings of Settings {
        #[serde(serialize_with = "optional_duration::serialize", deserialize_with = "set_duration")]
        timeout: Duration,
        #[serde(serialize_with = "serialize_unsettable", deserialize_with = "set_optional_duration")]
        attempt_timeout: Option<Duration>,
        #[serde(serialize_with = "optional_duration::serialize", deserialize_with = "set_duration")]
        connect_timeout: Duration,
        #[serde(deserialize_with = "set")]
        balancer: Strategy,
        #[serde(deserialize_with = "set")]
        zone: String,
        #[serde(deserialize_with = "set")]
        max_body: u64,
        #[serde(deserialize_with = "set")]
        host_header: Option<String>,
    }
    sections {
        headers: BTreeMap<String, String>,
        retry: RetryOverrides,
        outlier: OutlierOverrides,
        tls: TlsOverrides,
    }
}

overrides! {
    /// The retry settings of one service that differ from the common ones.
    RetryOverrides of RetryConfig {
        #[serde(deserialize_with = "set")]
        attempts: u32,
        #[serde(deserialize_with = "set")]
        backoff: BackoffKind,
        #[serde(serialize_with = "optional_duration::serialize", deserialize_with = "set_duration")]
        base: Duration,
        #[serde(serialize_with = "optional_duration::serialize", deserialize_with = "set_duration")]
        cap: Duration,
        #[serde(serialize_with = "optional_duration::serialize", deserialize_with = "set_duration")]
        max_retry_after: Duration,
        #[serde(deserialize_with = "set")]
        budget: f64,
        #[serde(deserialize_with = "set")]
        budget_ratio: f64,
    }
}

overrides! {
    /// The ejection settings of one service that differ from the common ones.
    OutlierOverrides of OutlierConfig {
        #[serde(deserialize_with = "set")]
        enabled: bool,
        #[serde(deserialize_with = "set")]
        consecutive_connect_failures: u32,
        #[serde(deserialize_with = "set")]
        consecutive_failures: u32,
        #[serde(serialize_with = "optional_duration::serialize", deserialize_with = "set_duration")]
        base_ejection: Duration,
        #[serde(serialize_with = "optional_duration::serialize", deserialize_with = "set_duration")]
        max_ejection: Duration,
        #[serde(deserialize_with = "set")]
        stall: bool,
    }
}

overrides! {
    /// The TLS settings of one service that differ from the common ones.
    TlsOverrides of TlsConfig {
        #[serde(deserialize_with = "set")]
        ca: Option<PathBuf>,
        #[serde(deserialize_with = "set")]
        cert: Option<PathBuf>,
        #[serde(deserialize_with = "set")]
        key: Option<PathBuf>,
        #[serde(deserialize_with = "set")]
        server_name: Option<String>,
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads a key that is present: `null` is refused unless the setting itself is optional.
fn set<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn set_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration::deserialize(deserializer).map(Some)
}

#[allow(clippy::option_option, reason = "not set, set to none, set to a value")]
fn set_optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<Duration>>, D::Error> {
    optional_duration::deserialize(deserializer).map(Some)
}

#[allow(
    clippy::option_option,
    clippy::ref_option,
    reason = "not set, set to none or set; the signature serde asks for"
)]
fn serialize_unsettable<S: Serializer>(
    value: &Option<Option<Duration>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    optional_duration::serialize(&value.flatten(), serializer)
}
