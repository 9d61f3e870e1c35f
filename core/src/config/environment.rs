//! `PLUMLINE_…` variables as a configuration: `PLUMLINE_RETRY__ATTEMPTS=5` is `{"retry": {"attempts": 5}}`.

use serde_json::{Map, Value, json};

use super::{Config, Settings};

/// Variables that are no configuration keys.
const OTHERS: [&str; 1] = ["PLUMLINE_CONFIG"];

/// Reads the variables that set something. A name with `__` must lead to a key; any other unknown one is
/// somebody else's.
pub(super) fn read(variables: &[(String, String)]) -> Value {
    let mut sorted: Vec<&(String, String)> = variables.iter().collect();
    sorted.sort();
    let mut layer = json!({});
    for (name, text) in sorted {
        let Some(key) = name.strip_prefix("PLUMLINE_").filter(|_| !OTHERS.contains(&name.as_str())) else {
            continue;
        };
        let path: Vec<String> = key.split("__").map(str::to_lowercase).collect();
        if path == ["registry"] {
            // Several addresses are separated by blanks: a comma separates the hosts within one.
            layer["registry"] = json!({ "addresses": text.split_whitespace().collect::<Vec<_>>() });
        } else if path.len() > 1 || is_known(&path[0]) {
            insert(&mut layer, &path, text);
        }
    }
    layer
}

fn is_known(key: &str) -> bool {
    defaults().get(key).is_some_and(|value| !value.is_object())
}

fn defaults() -> Value {
    serde_json::to_value(Config::default()).unwrap_or_default()
}

fn insert(layer: &mut Value, path: &[String], text: &str) {
    let (expected, settings_path) = match path {
        [services, _, rest @ ..] if services == "services" => {
            (serde_json::to_value(Settings::default()).unwrap_or_default(), rest)
        }
        _ => (defaults(), path),
    };
    let is_header = settings_path.first().is_some_and(|section| section == "headers");
    let expected = settings_path.iter().try_fold(&expected, |value, key| value.get(key));
    let value = typed(text, expected.unwrap_or(&Value::Null));
    let mut place = layer;
    for (depth, key) in path.iter().enumerate() {
        // A variable's name cannot hold a dash; a header's nearly always does.
        let key = if is_header && depth + 1 == path.len() { key.replace('_', "-") } else { key.clone() };
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[key];
    }
    *place = value;
}

/// The text as the type that the key's default has; what does not fit stays text, for the reader to refuse.
fn typed(text: &str, default: &Value) -> Value {
    match default {
        Value::Number(_) | Value::Bool(_) => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.into()))
        }
        Value::Array(_) => text.split_whitespace().collect(),
        _ => Value::String(text.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    fn config(variables: &[(&str, &str)]) -> Result<Config> {
        let variables: Vec<(String, String)> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::from_layers(&variables, json!({}))
    }

    #[test]
    fn keys_nest_by_double_underscore() {
        let config = config(&[
            ("PLUMLINE_REGISTRY", "plum://a:1,b:2 memory://"),
            ("PLUMLINE_ZONE", "1"),
            ("PLUMLINE_OUTLIER__STALL", "false"),
            ("PLUMLINE_HEADERS__X_TEAM", "blue"),
            ("PLUMLINE_SERVICES__ORDERS__TIMEOUT", "800ms"),
        ])
        .unwrap();
        assert_eq!(config.registry.addresses, ["plum://a:1,b:2", "memory://"]);
        assert_eq!((config.settings.zone.as_str(), config.settings.outlier.stall), ("1", false));
        assert_eq!(config.settings.headers["x-team"], "blue");
        assert_eq!(config.settings_for("orders").timeout.as_millis(), 800);
    }

    #[test]
    fn unknown_nested_key_is_an_error_and_others_are_ignored() {
        assert!(config(&[("PLUMLINE_FLAVOUR", "sweet")]).is_ok());
        let error = config(&[("PLUMLINE_RETRY__ATTEMPS", "5")]).unwrap_err();
        assert_eq!(error.message(), r#"unknown key "retry.attemps"; did you mean "retry.attempts"?"#);
        let error = config(&[("PLUMLINE_RETRY__ATTEMPTS", "many")]).unwrap_err();
        assert!(error.message().contains(r#"retry.attempts is "many""#), "{error}");
    }
}
