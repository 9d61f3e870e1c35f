//! Checks the Java sources that follow from the core. `UPDATE=1 cargo test -p plumline-java` generates `PlumConfig.java`.

use std::fmt::Write as _;
use std::path::PathBuf;

use plumline::{Config, Kind};
use serde_json::{Map, Value};

const HEAD: &str = "package io.plumline;

import io.plumline.internal.Durations;
import io.plumline.internal.Json;
import java.nio.file.Path;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The configuration of a client. Each setting is optional. Generated from the schema of the core.
 *
 * <pre>{@code
 * new PlumConfig()
 *         .registry(\"plum://127.0.0.1:8080\")
 *         .timeout(Duration.ofSeconds(2))
 *         .service(\"orders\", orders -> orders.retry(retry -> retry.attempts(5)))
 * }</pre>
 *
 * <p>Not thread-safe. A client reads it when it is created or configured.
 */
public final class PlumConfig {
    private final Map<String, Object> values = new LinkedHashMap<>();

    /** Creates a configuration without settings: the environment and the defaults apply. */
    public PlumConfig() {}

    /**
     * Reads settings from JSON, with the keys that every language uses. Creating a client validates them.
     *
     * @param json a JSON object
     * @return the settings
     * @throws PlumInvalidArgumentException if the text is not a JSON object
     */
    public static PlumConfig fromJson(String json) {
        Object read = Json.read(Objects.requireNonNull(json, \"json\"));
        if (!(read instanceof Map)) {
            throw new PlumInvalidArgumentException(\"the configuration is not a JSON object\");
        }
        PlumConfig config = new PlumConfig();
        config.values.putAll(Json.asObject(read));
        return config;
    }

    /**
     * The settings as JSON, with the keys that every language uses.
     *
     * @return compact JSON
     */
    public String toJson() {
        return Json.write(values);
    }

    Map<String, Object> values() {
        return values;
    }

    /**
     * Sets the registries.
     *
     * @param addresses their addresses
     * @return this
     */
    public PlumConfig registry(String... addresses) {
        values.put(\"registry\", List.of(Objects.requireNonNull(addresses, \"addresses\")));
        return this;
    }

    /**
     * Sets the settings of one service.
     *
     * @param service the name of the service
     * @param settings sets them
     * @return this
     */
    public PlumConfig service(String service, Consumer<Settings> settings) {
        Map<String, Object> services = section(values, \"services\");
        settings.accept(new Settings(section(services, Objects.requireNonNull(service, \"service\"))));
        return this;
    }

    /** Returns the section of that name, or creates it. */
    private static Map<String, Object> section(Map<String, Object> values, String name) {
        Object section = values.get(name);
        if (!(section instanceof Map)) {
            section = new LinkedHashMap<String, Object>();
            values.put(name, section);
        }
        return Json.asObject(section);
    }

    @Override
    public boolean equals(@Nullable Object other) {
        return other instanceof PlumConfig && values.equals(((PlumConfig) other).values);
    }

    @Override
    public int hashCode() {
        return values.hashCode();
    }

    @Override
    public String toString() {
        return \"PlumConfig\" + values.keySet();
    }
";

#[test]
fn java_configuration_matches_core() {
    let path = root().join("java/src/main/java/io/plumline/PlumConfig.java");
    let made = plum_config();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "{} is out of date: UPDATE=1 cargo test -p plumline-java", path.display());
}

#[test]
fn java_kinds_and_version_match_core() {
    let read = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let kinds = read("java/src/main/java/io/plumline/Kind.java");
    for kind in Kind::ALL {
        let word = format!("    {}({})", upper(kind.name()), kind.number());
        assert!(kinds.contains(&word), "Kind.java lacks {word}");
        let class = format!("java/src/main/java/io/plumline/Plum{}Exception.java", kind.name());
        assert!(read(&class).contains(&format!("Kind.{};", upper(kind.name()))), "{class}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("java/src/main/java/io/plumline/Plumline.java").contains(&format!("\"{version}\"")));
    assert!(read("java/pom.xml").contains(&format!("<version>{version}</version>")));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn plum_config() -> String {
    let schema = Config::schema();
    let definitions = schema["$defs"].as_object().unwrap();
    let mut out = HEAD.to_owned();
    for (key, value) in schema["properties"].as_object().unwrap() {
        match key.as_str() {
            "services" => {}
            "registry" => {
                let about = "Registries and their settings.";
                out += &section_setter("PlumConfig", "    ", key, "Registry", about);
            }
            _ => out += &setter("PlumConfig", "    ", key, value, definitions),
        }
    }
    for (name, body) in definitions {
        if let Some(keys) = body["properties"].as_object() {
            out += &section(name, body, keys, definitions);
        } else if let Some(words) = body["oneOf"].as_array() {
            out += &choice(name, body, words);
        }
    }
    out + "}\n"
}

fn section(name: &str, body: &Value, keys: &Map<String, Value>, definitions: &Map<String, Value>) -> String {
    let class = class(name);
    let mut out = format!(
        "\n    /** {} */\n    public static final class {class} {{\n        private final Map<String, Object> values;\n\n        \
         private {class}(Map<String, Object> values) {{\n            this.values = values;\n        }}\n",
        text(body)
    );
    keys.iter().for_each(|(key, value)| out += &setter(class, "        ", key, value, definitions));
    out + "    }\n"
}

fn choice(name: &str, body: &Value, words: &[Value]) -> String {
    let mut out = format!("\n    /** {} */\n    public enum {} {{\n", text(body), class(name));
    for (n, word) in words.iter().enumerate() {
        let end = if n + 1 == words.len() { ";" } else { "," };
        let constant = word["const"].as_str().unwrap().to_uppercase();
        writeln!(out, "        /** {} */\n        {constant}{end}", text(word)).unwrap();
    }
    out + "\n        String value() {\n            return name().toLowerCase(Locale.ROOT);\n        }\n    }\n"
}

fn setter(of: &str, indent: &str, key: &str, value: &Value, definitions: &Map<String, Value>) -> String {
    let (kind, written) = match java_type(key, value, definitions) {
        Java::Section(class) => return section_setter(of, indent, key, &class, &text(value)),
        Java::Value(kind, written) => (kind, written),
    };
    let name = camel(key);
    let written = written.replace('$', &name).replace('#', key);
    format!(
        "\n{indent}/**\n{}{indent} *\n{indent} * @param {name} the value\n{indent} * @return this\n{indent} */\n\
         {indent}public {of} {name}({kind} {name}) {{\n{indent}    values.put(\"{key}\", {written});\n{indent}    \
         return this;\n{indent}}}\n",
        wrapped(&text(value), indent)
    )
}

fn section_setter(of: &str, indent: &str, key: &str, class: &str, about: &str) -> String {
    let name = camel(key);
    format!(
        "\n{indent}/**\n{}{indent} *\n{indent} * @param {name} sets the settings of the section\n{indent} * @return this\n{indent} */\n\
         {indent}public {of} {name}(Consumer<{class}> {name}) {{\n{indent}    {name}.accept(new {class}(section(values, \
         \"{key}\")));\n{indent}    return this;\n{indent}}}\n",
        wrapped(about, indent)
    )
}

enum Java {
    Section(String),
    /// A type, and the expression that converts its value: `$` stands for the name, `#` for the key.
    Value(&'static str, &'static str),
}

fn java_type(key: &str, value: &Value, definitions: &Map<String, Value>) -> Java {
    if let Some(reference) = value["$ref"].as_str() {
        let name = reference.trim_start_matches("#/$defs/");
        return match name {
            "Duration" => Java::Value("Duration", "Durations.text(\"#\", $)"),
            "Strategy" => Java::Value("Strategy", "$.value()"),
            "BackoffKind" => Java::Value("BackoffKind", "$.value()"),
            "RegistryMode" => Java::Value("RegistryMode", "$.value()"),
            _ => {
                assert!(definitions[name]["properties"].is_object(), "no Java type for {name}");
                Java::Section(class(name).to_owned())
            }
        };
    }
    if let Some(parts) = value["anyOf"].as_array() {
        return java_type(key, parts.iter().find(|part| part["type"] != "null").unwrap(), definitions);
    }
    let kind = match &value["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").unwrap().as_str(),
        kind => kind.as_str(),
    };
    match (kind.unwrap(), value["format"].as_str()) {
        ("string", _) if ["snapshot", "ca"].contains(&key) => Java::Value("Path", "$.toString()"),
        ("string", _) => Java::Value("String", "Objects.requireNonNull($, \"#\")"),
        ("integer", Some("uint64")) => Java::Value("long", "$"),
        ("integer", _) => Java::Value("int", "(long) $"),
        ("number", _) => Java::Value("double", "$"),
        ("boolean", _) => Java::Value("boolean", "$"),
        ("array", _) => Java::Value("List<String>", "List.copyOf($)"),
        ("object", _) => Java::Value("Map<String, String>", "new LinkedHashMap<>($)"),
        (other, _) => panic!("no Java type for {key}: {other}"),
    }
}

fn class(name: &str) -> &str {
    name.strip_suffix("Config").unwrap_or(name)
}

fn camel(key: &str) -> String {
    let mut parts = key.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| name + &part[..1].to_uppercase() + &part[1..])
}

fn upper(name: &str) -> String {
    let mut upper = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !upper.is_empty() {
            upper.push('_');
        }
        upper.push(c.to_ascii_uppercase());
    }
    upper
}

/// Converts a description to Javadoc: backticks to `{@code …}`, HTML characters escaped.
fn text(value: &Value) -> String {
    let description = value["description"].as_str().unwrap_or_default();
    let parts = description.split('`').enumerate().map(|(n, part)| match n % 2 {
        1 => format!("{{@code {part}}}"),
        _ => part.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
    });
    parts.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if indent.len() + line.len() + word.len() > 112 {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.iter().fold(String::new(), |out, line| out + indent + " * " + line + "\n")
}
