//! Dotted keys and text, as `plumline_config_set` takes them: `retry.attempts` and `5` are `{"retry": {"attempts": 5}}`.

use plumline::config::Settings;
use plumline::{Config, Result};
use serde_json::{Map, Value};

/// Lays one setting into `layer`. An unknown key is refused at once, with the one that was probably meant; the
/// value is looked at when a client is made, because it may depend on others.
pub(crate) fn set(layer: &mut Map<String, Value>, key: &str, text: &str) -> Result<()> {
    let path = path_of(key);
    let expected = default_of(&path);
    let value = match (&path[..], &expected) {
        (["registry"], _) => words(text), // several addresses are separated by blanks, as in the environment
        (_, Some(expected)) => typed(text, expected),
        _ => Value::String(text.to_owned()),
    };
    if expected.is_none() {
        let mut alone = Map::new();
        insert(&mut alone, &path, value.clone());
        Config::from_value(Value::Object(alone))?;
    }
    insert(layer, &path, value);
    Ok(())
}

/// The steps of a key. A service may have dots in its name, and so may a header.
fn path_of(key: &str) -> Vec<&str> {
    let Some(rest) = key.strip_prefix("services.") else { return settings_path(key) };
    let dots = rest.match_indices('.').map(|(dot, _)| (&rest[..dot], settings_path(&rest[dot + 1..])));
    let all: Vec<(&str, Vec<&str>)> = dots.collect();
    let known = all.iter().find(|(_, tail)| lookup(&of_settings(), tail).is_some());
    match known.or(all.first()) {
        Some((name, tail)) => ["services", name].into_iter().chain(tail.iter().copied()).collect(),
        None => vec!["services", rest],
    }
}

fn settings_path(key: &str) -> Vec<&str> {
    match key.strip_prefix("headers.") {
        Some(header) => vec!["headers", header],
        None => key.split('.').collect(),
    }
}

/// What a key is when nobody sets it; `None` if there is no such key.
fn default_of(path: &[&str]) -> Option<Value> {
    match path {
        ["services", _, tail @ ..] => lookup(&of_settings(), tail),
        ["services", ..] => None,
        _ => lookup(&serde_json::to_value(Config::default()).unwrap_or_default(), path),
    }
}

fn of_settings() -> Value {
    serde_json::to_value(Settings::default()).unwrap_or_default()
}

fn lookup(defaults: &Value, path: &[&str]) -> Option<Value> {
    match path {
        [] => None,
        ["headers", _] => Some(Value::String(String::new())),
        _ => path
            .iter()
            .try_fold(defaults, |value, step| value.get(step))
            .filter(|value| !value.is_object())
            .cloned(),
    }
}

/// The text as the type that the key's default has; what does not fit stays text, for the reader to refuse.
fn typed(text: &str, default: &Value) -> Value {
    match default {
        Value::Number(_) | Value::Bool(_) => {
            serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
        }
        Value::Array(_) => words(text),
        _ => Value::String(text.to_owned()),
    }
}

fn words(text: &str) -> Value {
    text.split_whitespace().collect()
}

fn insert(layer: &mut Map<String, Value>, path: &[&str], value: Value) {
    let Some((last, sections)) = path.split_last() else { return };
    let mut place = layer;
    for section in sections {
        let entry = place.entry(*section).or_insert_with(|| Value::Object(Map::new()));
        // The short form of the registries gives way to the long one.
        if let Value::Array(_) | Value::String(_) = entry {
            *entry = serde_json::json!({ "addresses": entry.take() });
        }
        match entry {
            Value::Object(inner) => place = inner,
            _ => return,
        }
    }
    place.insert((*last).to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn all(settings: &[(&str, &str)]) -> Result<Value> {
        let mut layer = Map::new();
        settings.iter().try_for_each(|(key, text)| set(&mut layer, key, text))?;
        Ok(Value::Object(layer))
    }

    #[test]
    fn text_is_converted_to_the_type_of_its_key() {
        let layer = all(&[
            ("retry.attempts", "5"),
            ("outlier.stall", "false"),
            ("timeout", "800ms"),
            ("zone", "1"),
            ("attempt_timeout", "0.2"),
            ("registry", "plum://a:1,b:2 memory://"),
            ("registry.timeout", "1s"),
            ("headers.X-Team.a", "blue"),
            ("services.orders.timeout", "1s"),
            ("services.my.shop.retry.attempts", "2"),
        ]);
        let wanted = json!({
            "retry": {"attempts": 5}, "outlier": {"stall": false}, "timeout": "800ms", "zone": "1", "attempt_timeout": "0.2",
            "registry": {"addresses": ["plum://a:1,b:2", "memory://"], "timeout": "1s"}, "headers": {"X-Team.a": "blue"},
            "services": {"orders": {"timeout": "1s"}, "my.shop": {"retry": {"attempts": 2}}}
        });
        assert_eq!(layer.unwrap(), wanted);
        Config::from_value(wanted).unwrap();
    }

    #[test]
    fn unknown_key_names_the_nearest_known_one() {
        let refused = |key| all(&[(key, "5")]).unwrap_err().to_string();
        assert_eq!(
            refused("retry.attemps"),
            r#"unknown key "retry.attemps"; did you mean "retry.attempts"?"#
        );
        assert!(refused("services.orders.timeuot").contains(r#"did you mean "services.orders.timeout"?"#));
        assert!(refused("retry").contains("retry"));
        assert!(refused("").contains("unknown key"));
        assert!(refused("services").contains("services"));
    }

    #[test]
    fn dependent_value_may_come_first() {
        let layer = all(&[("retry.base", "9s"), ("retry.cap", "20s")]).unwrap();
        assert!(Config::from_value(layer).is_ok());
    }
}
