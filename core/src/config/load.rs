//! Loads a [`Config`] from JSON, files and the environment: merges the layers, then parses the result strictly.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::overrides::Overrides;
use super::{Config, Settings, environment};
use crate::error::{Error, Result};
use crate::nearest::suggestion;

/// The top-level sections that are not settings of a service.
const SECTIONS: [&str; 4] = ["registry", "cache", "registration", "services"];

impl Config {
    /// Reads a configuration from JSON. An unknown key, a wrong type or a value out of range is
    /// [`Kind::InvalidArgument`](crate::Kind::InvalidArgument), naming the key and the valid values.
    pub fn from_json(text: &str) -> Result<Config> {
        let value = serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("the configuration is not valid JSON: {error}")))?;
        Config::from_value(value)
    }

    /// Reads a `.json`, `.yaml`, `.yml` or `.toml` file.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Config> {
        Config::from_value(read_file(path.as_ref())?)
    }

    /// Merges the layers: the file that `PLUMLINE_CONFIG` names, the environment, then `arguments`. Later layers override
    /// earlier ones.
    pub fn layered(arguments: Value) -> Result<Config> {
        let variables: Vec<(String, String)> = std::env::vars().collect();
        Config::from_layers(&variables, arguments)
    }

    /// Merges the layers with these environment variables.
    pub fn from_layers(variables: &[(String, String)], arguments: Value) -> Result<Config> {
        let file = variables.iter().find(|(name, _)| name == "PLUMLINE_CONFIG").map(|(_, path)| path);
        let mut layers = file.map_or_else(|| Ok(json!({})), |path| read_file(Path::new(path)))?;
        normalize(&mut layers);
        let mut stronger = [environment::read(variables), arguments];
        for layer in &mut stronger {
            normalize(layer);
            merge(&mut layers, layer);
        }
        Config::from_value(layers)
    }

    /// Reads a configuration from a JSON value.
    pub fn from_value(mut value: Value) -> Result<Config> {
        normalize(&mut value);
        let Value::Object(mut fields) = value else {
            return Err(Error::invalid(format!("the configuration is {value}; it must be an object")));
        };
        let mut section = |name: &str| fields.remove(name).unwrap_or_else(|| json!({}));
        let config = Config {
            registry: read("registry.", &section("registry"))?,
            cache: read("cache.", &section("cache"))?,
            registration: read("registration.", &section("registration"))?,
            services: read("services.", &section("services"))?,
            settings: read("", &Value::Object(fields))?,
        };
        config.check()?;
        Ok(config)
    }

    /// The settings of one service: the common ones, overridden by those under `services`.
    pub fn settings_for(&self, service: &str) -> Settings {
        let mut settings = self.settings.clone();
        if let Some(overrides) = self.services.get(service) {
            overrides.apply(&mut settings);
        }
        settings
    }

    /// This configuration, overridden by `changes`. Registries, cache and registration cannot be changed in a running
    /// client.
    pub fn changed(&self, mut changes: Value) -> Result<Config> {
        normalize(&mut changes);
        if let Some(fixed) = SECTIONS[..3].iter().find(|section| changes.get(**section).is_some()) {
            return Err(Error::invalid(format!(
                "{fixed:?} cannot be changed in a running client; create a new client"
            )));
        }
        let mut value = serde_json::to_value(self).unwrap_or_default();
        merge(&mut value, &changes);
        Config::from_value(value)
    }
}

/// `"registry": "plum://…"` and `"registry": ["plum://…"]` are short for `"registry": {"addresses": […]}`.
fn normalize(value: &mut Value) {
    let Some(registry) = value.get_mut("registry") else { return };
    match registry.take() {
        Value::String(address) => *registry = json!({ "addresses": [address] }),
        Value::Array(addresses) => *registry = json!({ "addresses": addresses }),
        other => *registry = other,
    }
}

/// Merges `stronger` into `base`: objects key by key, other values as a whole.
fn merge(base: &mut Value, stronger: &Value) {
    match (base, stronger) {
        (Value::Object(base), Value::Object(stronger)) => {
            for (key, value) in stronger {
                merge(base.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())), value);
            }
        }
        (base, stronger) => *base = stronger.clone(),
    }
}

/// Reads one section strictly; `prefix` leads to it.
fn read<T: DeserializeOwned>(prefix: &str, value: &Value) -> Result<T> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let found = lookup(value, error.path());
        refusal(prefix, &path, found, &error.into_inner().to_string())
    })
}

fn lookup<'a>(value: &'a Value, path: &serde_path_to_error::Path) -> Option<&'a Value> {
    use serde_path_to_error::Segment;
    path.iter().try_fold(value, |value, segment| match segment {
        Segment::Map { key } => value.get(key),
        Segment::Seq { index } => value.get(index),
        _ => None,
    })
}

/// Converts an error of serde into a message that names the key.
fn refusal(prefix: &str, path: &str, found: Option<&Value>, message: &str) -> Error {
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let (word, known) = rest.split_once('`').unwrap_or((rest, ""));
        let parent = path.strip_suffix(word).unwrap_or("");
        let mut known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        if prefix.is_empty() && parent.is_empty() {
            known.extend(SECTIONS);
        }
        let lead = format!("{prefix}{parent}");
        let known: Vec<String> = known.iter().map(|known| format!("{lead}{known}")).collect();
        let key = format!("{lead}{word}");
        let meant = suggestion(word, known.iter().map(|known| &known[lead.len()..]));
        let hint = if meant.is_empty() {
            format!("; known are {}", known.join(", "))
        } else {
            suggestion(&key, known.iter().map(String::as_str))
        };
        return Error::invalid(format!("unknown key {key:?}{hint}"));
    }
    if let Some(rest) = message.strip_prefix("unknown variant `") {
        let (word, known) = rest.split_once('`').unwrap_or((rest, ""));
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let hint = suggestion(word, known.iter().copied());
        return Error::invalid(format!("{prefix}{path} is {word:?}{hint}; known are {}", known.join(", ")));
    }
    let key = if path == "." { prefix.trim_end_matches('.') } else { &format!("{prefix}{path}") };
    let value =
        found.filter(|found| !found.is_object()).map_or(String::new(), |found| format!(" is {found}"));
    match message.rsplit_once(", expected ") {
        Some((_, expected)) => Error::invalid(format!("{key}{value}; it must be {}", in_words(expected))),
        None => Error::invalid(format!("{key}{value}: {message}")),
    }
}

/// Describes the types that serde names after Rust.
fn in_words(expected: &str) -> &str {
    match expected {
        "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a map" => "a section with keys of its own",
        "a sequence" => "a list",
        "path string" => "a path",
        _ if expected.starts_with("struct ") => "a section with keys of its own",
        _ => expected,
    }
}

fn read_file(path: &Path) -> Result<Value> {
    let refuse = |what: &dyn std::fmt::Display| Error::invalid(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| refuse(&error))?;
    let value = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => serde_json::from_str(&text).map_err(|error| refuse(&error))?,
        Some("yaml" | "yml") => serde_yaml_ng::from_str(&text).map_err(|error| refuse(&error))?,
        Some("toml") => toml::from_str(&text).map_err(|error| refuse(&error.message()))?,
        _ => return Err(refuse(&"a configuration file ends in .json, .yaml or .toml")),
    };
    // An empty YAML file is valid and sets nothing.
    Ok(if value == Value::Null { json!({}) } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn refused(value: Value) -> String {
        Config::from_value(value).expect_err("it should be refused").to_string()
    }

    #[test]
    fn unknown_key_suggests_the_nearest() {
        assert_eq!(refused(json!({"timeuot": 1})), r#"unknown key "timeuot"; did you mean "timeout"?"#);
        assert_eq!(refused(json!({"regsitry": {}})), r#"unknown key "regsitry"; did you mean "registry"?"#);
        assert_eq!(
            refused(json!({"services": {"orders": {"retry": {"atempts": 1}}}})),
            r#"unknown key "services.orders.retry.atempts"; did you mean "services.orders.retry.attempts"?"#
        );
        let far = refused(json!({"cache": {"colour": 1}}));
        assert_eq!(far, r#"unknown key "cache.colour"; known are cache.ttl, cache.snapshot"#);
    }

    #[test]
    fn wrong_type_names_key_and_value() {
        assert_eq!(
            refused(json!({"retry": {"attempts": "three"}})),
            r#"retry.attempts is "three"; it must be a whole number, 0 or more"#
        );
        assert!(
            refused(json!({"timeout": "soon"}))
                .starts_with(r#"timeout is "soon": "soon" is not a valid duration; write"#)
        );
        assert_eq!(refused(json!({"cache": 7})), "cache is 7; it must be a section with keys of its own");
        assert_eq!(
            refused(json!({"outlier": {"stall": "no"}})),
            r#"outlier.stall is "no"; it must be true or false"#
        );
        assert_eq!(
            refused(json!({"balancer": "roundrobin"})),
            r#"balancer is "roundrobin"; did you mean "round_robin"?; known are p2c_ewma, round_robin, random"#
        );
        assert!(refused(json!([])).contains("must be an object"));
    }

    #[test]
    fn service_settings_override_common_ones() {
        let config = Config::from_value(json!({
            "timeout": 2, "headers": {"x-team": "a"},
            "services": {"orders": {"attempt_timeout": "300ms", "headers": {"x-extra": "b"}}}
        }))
        .unwrap();
        let orders = config.settings_for("orders");
        assert_eq!(
            (orders.timeout, orders.attempt_timeout),
            (Duration::from_secs(2), Some(Duration::from_millis(300)))
        );
        assert_eq!(orders.headers.len(), 2);
        assert_eq!(config.settings_for("other").attempt_timeout, None);
        let changes = json!({"attempt_timeout": "1s", "services": {"orders": {"attempt_timeout": null}}});
        let changed = config.changed(changes).unwrap();
        assert_eq!(changed.settings_for("orders").attempt_timeout, None);
        assert!(
            refused(json!({"services": {"orders": {"timeout": null}}})).contains("services.orders.timeout")
        );
        let written = serde_json::to_value(&changed).unwrap();
        assert_eq!(
            written["services"],
            json!({"orders": {"attempt_timeout": null, "headers": {"x-extra": "b"}}})
        );
        assert_eq!(Config::from_value(written).unwrap(), changed);
    }

    #[test]
    fn arguments_override_environment_and_file() {
        let path = std::env::temp_dir().join(format!("plumline-config-{}.yaml", std::process::id()));
        std::fs::write(&path, "timeout: 1s\nretry: {attempts: 7, base: 1ms}\nregistry: memory://file\n")
            .unwrap();
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let variables = [
            variable("PLUMLINE_CONFIG", path.to_str().unwrap()),
            variable("PLUMLINE_RETRY__ATTEMPTS", "5"),
            variable("PLUMLINE_TIMEOUT", "3s"),
        ];
        let config = Config::from_layers(&variables, json!({"timeout": 4})).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(config.settings.timeout, Duration::from_secs(4));
        assert_eq!(config.settings.retry.attempts, 5);
        assert_eq!(config.settings.retry.base, Duration::from_millis(1));
        assert_eq!(config.registry.addresses, ["memory://file"]);
    }

    #[test]
    fn running_client_cannot_change_registries() {
        let config = Config::from_value(json!({"registry": "memory://", "timeout": 2})).unwrap();
        let changed = config.changed(json!({"timeout": "5s", "services": {"a": {"zone": "z"}}})).unwrap();
        assert_eq!(changed.settings.timeout, Duration::from_secs(5));
        assert_eq!(changed.settings_for("a").zone, "z");
        assert!(
            config.changed(json!({"registry": "memory://b"})).unwrap_err().message().contains("registry")
        );
    }
}
