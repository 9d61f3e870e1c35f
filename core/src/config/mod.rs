//! Everything that can be set, in one struct; every language hands it over as JSON, once.

pub mod duration;
mod environment;
mod limits;
mod load;
mod overrides;
mod schema;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use duration::{format_duration, optional_duration, parse_duration};
pub use overrides::{OutlierOverrides, RetryOverrides, ServiceSettings, TlsOverrides};

/// How a client behaves. Every field has a default; `services` overrides settings for single services.
///
/// ```
/// use plumline::Config;
/// let config = Config::from_json(r#"{"timeout": "2s", "services": {"orders": {"retry": {"attempts": 5}}}}"#)?;
/// assert_eq!(config.settings_for("orders").retry.attempts, 5);
/// let error = Config::from_json(r#"{"retry": {"attemps": 5}}"#).unwrap_err();
/// assert_eq!(error.message(), r#"unknown key "retry.attemps"; did you mean "retry.attempts"?"#);
/// # Ok::<(), plumline::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[non_exhaustive]
pub struct Config {
    /// Which registries to ask: an address, a list of addresses, or a section with more detail.
    pub registry: RegistryConfig,
    /// How long lists of endpoints are believed, and where they are kept.
    pub cache: CacheConfig,
    /// How this program keeps itself registered.
    pub registration: RegistrationConfig,
    /// What applies to every service unless `services` says otherwise.
    #[serde(flatten)]
    pub settings: Settings,
    /// Settings for single services, by name.
    #[schemars(with = "BTreeMap<String, Settings>")]
    pub services: BTreeMap<String, ServiceSettings>,
}

/// The settings of one service's calls.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// The whole call: first discovery, waits, retries, body.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub timeout: Duration,
    /// One attempt; unset: 60 % of what is left while a safe repeat remains, else all of it.
    #[serde(with = "optional_duration")]
    #[schemars(with = "Option<duration::Schema>")]
    pub attempt_timeout: Option<Duration>,
    /// Opening one connection.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub connect_timeout: Duration,
    /// Whom to ask next: `p2c_ewma`, `round_robin` or `random`.
    pub balancer: Strategy,
    /// The zone this program runs in; empty if it does not matter.
    pub zone: String,
    /// The largest response body taken, bytes after decompression.
    pub max_body: u64,
    /// Sent in the Host header instead of the endpoint's host.
    pub host_header: Option<String>,
    /// Sent with every request; the request's own win.
    pub headers: BTreeMap<String, String>,
    /// When and how often to try again.
    pub retry: RetryConfig,
    /// When to take an endpoint out of rotation.
    pub outlier: OutlierConfig,
    /// How to speak TLS.
    pub tls: TlsConfig,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            timeout: Duration::from_secs(10),
            attempt_timeout: None,
            connect_timeout: Duration::from_secs(1),
            balancer: Strategy::P2cEwma,
            zone: String::new(),
            max_body: 64 << 20,
            host_header: None,
            headers: BTreeMap::new(),
            retry: RetryConfig::default(),
            outlier: OutlierConfig::default(),
            tls: TlsConfig::default(),
        }
    }
}

/// Whom to ask next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Strategy {
    /// The cheaper of two drawn by weight, by latency, load and success.
    P2cEwma,
    /// One after the other.
    RoundRobin,
    /// By weight.
    Random,
}

/// Which registries to ask, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RegistryConfig {
    /// Their addresses; empty: `PLUMLINE_REGISTRY`.
    pub addresses: Vec<String>,
    /// How several of them are read: `failover`, the first that answers, or `merge`, all together; registrations go to
    /// each.
    pub mode: RegistryMode,
    /// How often to look where a registry cannot be watched (±20 %).
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub poll_interval: Duration,
    /// How long one request to a registry may take.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub timeout: Duration,
}

/// How several registries are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RegistryMode {
    /// The first of them that answers, in the order in which they are given.
    #[default]
    Failover,
    /// All of them together; an endpoint that several list is one.
    Merge,
}

impl Default for RegistryConfig {
    fn default() -> RegistryConfig {
        RegistryConfig {
            addresses: Vec::new(),
            mode: RegistryMode::Failover,
            poll_interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
        }
    }
}

/// How long lists of endpoints are believed, and where they are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CacheConfig {
    /// How long a list is fresh where the registry cannot be watched; older ones are used while they are refreshed.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub ttl: Duration,
    /// A file to keep the lists in, used at a start while the registry is away; unset: none.
    pub snapshot: Option<PathBuf>,
}

impl Default for CacheConfig {
    fn default() -> CacheConfig {
        CacheConfig { ttl: Duration::from_secs(30), snapshot: None }
    }
}

/// When and how often to try again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryConfig {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The shape of the wait before returning to an endpoint already tried.
    pub backoff: BackoffKind,
    /// The first wait's bound.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub base: Duration,
    /// The largest wait.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub cap: Duration,
    /// The longest `Retry-After` that is waited for; a longer one ends the call with that answer.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub max_retry_after: Duration,
    /// How many retries the budget starts with.
    pub budget: f64,
    /// What each call adds to the budget.
    pub budget_ratio: f64,
}

impl Default for RetryConfig {
    fn default() -> RetryConfig {
        RetryConfig {
            attempts: 3,
            backoff: BackoffKind::FullJitter,
            base: Duration::from_millis(50),
            cap: Duration::from_secs(5),
            max_retry_after: Duration::from_secs(1),
            budget: 10.0,
            budget_ratio: 0.2,
        }
    }
}

/// The shape of the waits between tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackoffKind {
    /// U(0, min(cap, base·2ⁿ)).
    FullJitter,
    /// U(base, 3 × the wait before), at most cap.
    Decorrelated,
    /// U(0, min(cap, base·(n+1))).
    Linear,
    /// U(0, base).
    Fixed,
}

/// When to take an endpoint out of rotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OutlierConfig {
    /// Whether endpoints are taken out at all.
    pub enabled: bool,
    /// So many connect errors or timeouts in a row.
    pub consecutive_connect_failures: u32,
    /// So many failures of any kind in a row.
    pub consecutive_failures: u32,
    /// The longest first ejection; each further one is longer by as much.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub base_ejection: Duration,
    /// The longest ejection.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub max_ejection: Duration,
    /// Whether an endpoint that has stopped answering is avoided before anything times out.
    pub stall: bool,
}

impl Default for OutlierConfig {
    fn default() -> OutlierConfig {
        OutlierConfig {
            enabled: true,
            consecutive_connect_failures: 2,
            consecutive_failures: 5,
            base_ejection: Duration::from_secs(30),
            max_ejection: Duration::from_mins(5),
            stall: true,
        }
    }
}

/// How this program keeps itself registered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RegistrationConfig {
    /// How long the registry keeps an instance without hearing from it.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub ttl: Duration,
    /// How long to wait for the port to answer before it is published anyway; 0: not at all.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub wait_listening: Duration,
    /// Where others reach this program; unset: the local address of a socket towards the registry.
    pub host: Option<String>,
    /// How long `close()` waits after deregistering, for calls still on their way.
    #[serde(with = "duration")]
    #[schemars(with = "duration::Schema")]
    pub drain: Duration,
}

impl Default for RegistrationConfig {
    fn default() -> RegistrationConfig {
        RegistrationConfig {
            ttl: Duration::from_secs(15),
            wait_listening: Duration::from_secs(30),
            host: None,
            drain: Duration::ZERO,
        }
    }
}

/// How to speak TLS.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsConfig {
    /// A file of PEM certificates to trust beside the system's.
    pub ca: Option<PathBuf>,
    /// A file of PEM certificates to show to whoever asks who we are: ours first, then those it was signed with.
    pub cert: Option<PathBuf>,
    /// The file of the private key to `cert`, in PEM.
    pub key: Option<PathBuf>,
    /// The name to verify instead of the endpoint's host.
    pub server_name: Option<String>,
}
