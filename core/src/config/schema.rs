//! What is generated from the configuration: its JSON Schema and the docs' table of defaults.

use serde_json::{Map, Value};

use super::Config;

impl Config {
    /// The JSON Schema of a configuration, strict about unknown keys.
    pub fn schema() -> Value {
        let mut schema = schemars::schema_for!(Config).to_value();
        // One object on the outside: the common settings stand beside the sections.
        schema["additionalProperties"] = Value::Bool(false);
        schema["title"] = "Plumline configuration".into();
        allow_short_registry(&mut schema);
        schema
    }

    /// Every key with its default and meaning, as a Markdown table.
    pub fn table() -> String {
        let schema = Config::schema();
        let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
        let mut rows = String::from("| key | default | meaning |\n|---|---|---|\n");
        add_rows(&mut rows, "", &schema, &schema, &defaults);
        rows
    }
}

fn allow_short_registry(schema: &mut Value) {
    let full = schema["properties"]["registry"].clone();
    schema["properties"]["registry"] = serde_json::json!({
        "description": "Which registries to ask: an address, a list of addresses, or a section with more detail.",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}, full]
    });
}

fn add_rows(rows: &mut String, prefix: &str, root: &Value, schema: &Value, defaults: &Value) {
    let Some(properties) = schema["properties"].as_object() else { return };
    for (name, property) in properties {
        let key = format!("{prefix}{name}");
        let section = section_of(root, property);
        if let Some(section) = section {
            add_rows(rows, &format!("{key}."), root, section, &defaults[name]);
        } else {
            let meaning = property["description"].as_str().unwrap_or_default().replace('\n', " ");
            let default = shown(&defaults[name]);
            rows.push_str(&format!("| `{key}` | {default} | {meaning} |\n"));
        }
    }
}

/// The section a property refers to, if it is one of ours with fields of its own.
fn section_of<'a>(root: &'a Value, property: &'a Value) -> Option<&'a Value> {
    let alternatives = property["anyOf"].as_array().map(Vec::as_slice).unwrap_or_default();
    let refers = |value: &'a Value| value["$ref"].as_str();
    let name = refers(property)
        .or_else(|| alternatives.iter().find_map(refers))
        .and_then(|reference| reference.strip_prefix("#/$defs/"))?;
    Some(&root["$defs"][name]).filter(|section| section["properties"].is_object())
}

fn shown(default: &Value) -> String {
    match default {
        Value::Null => "unset".into(),
        Value::String(text) if text.is_empty() => "empty".into(),
        Value::String(text) => format!("`{text}`"),
        Value::Object(fields) if fields == &Map::new() => "empty".into(),
        Value::Array(items) if items.is_empty() => "empty".into(),
        other => format!("`{other}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_stands_in_the_table_with_its_default() {
        let table = Config::table();
        for row in [
            "| `timeout` | `10s` | The whole call",
            "| `retry.attempts` | `3` |",
            "| `registry.poll_interval` | `5s` |",
            "| `cache.snapshot` | unset |",
            "| `attempt_timeout` | unset |",
        ] {
            assert!(table.contains(row), "{row} is missing from\n{table}");
        }
    }
}
