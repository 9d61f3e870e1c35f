//! What must come out, compared with what did.

use serde_json::{Map, Value};

/// The words that turn an object into a pattern of its own.
const WORDS: [&str; 12] = [
    "$any",
    "$absent",
    "$range",
    "$contains",
    "$lacks",
    "$unordered",
    "$has",
    "$length",
    "$one_of",
    "$exact",
    "$all",
    "$each",
];

/// Refuses a pattern that uses a word there is not.
pub fn check(pattern: &Value) -> Result<(), String> {
    match pattern {
        Value::Object(map) => {
            if let Some(word) = map.keys().find(|key| key.starts_with('$')) {
                if map.len() > 1 {
                    return Err(format!("{word} stands alone in its object"));
                }
                if !WORDS.contains(&word.as_str()) {
                    return Err(format!("unknown word {word:?}; there are {}", WORDS.join(", ")));
                }
            }
            map.values().try_for_each(check)
        }
        Value::Array(items) => items.iter().try_for_each(check),
        _ => Ok(()),
    }
}

/// `Err` says where the value differs from the pattern, and how.
pub fn compare(pattern: &Value, value: &Value) -> Result<(), String> {
    at("", pattern, Some(value))
}

fn at(path: &str, pattern: &Value, value: Option<&Value>) -> Result<(), String> {
    let word =
        pattern.as_object().and_then(|map| map.iter().next()).filter(|(word, _)| word.starts_with('$'));
    if let Some((word, argument)) = word {
        if word == "$absent" {
            return match value {
                None | Some(Value::Null) => Ok(()),
                Some(value) => differs(path, "nothing there", value),
            };
        }
        let value = value.ok_or_else(|| format!("{}: is missing", shown(path)))?;
        return by_word(path, word, argument, value);
    }
    let value = value.ok_or_else(|| format!("{}: is missing", shown(path)))?;
    match (pattern, value) {
        (Value::Object(wanted), Value::Object(found)) => within(path, wanted, found),
        (Value::Array(wanted), Value::Array(found)) => in_order(path, wanted, found),
        // An endpoint may be named.
        (Value::String(name), Value::Object(found)) if found.get("address").is_some() => {
            at(&format!("{path}.address"), pattern, found.get("address")).map_err(|_| {
                format!(
                    "{}: endpoint {}, not {name:?}",
                    shown(path),
                    found.get("address").unwrap_or(&Value::Null)
                )
            })
        }
        (Value::Number(wanted), Value::Number(found)) if wanted.as_f64() == found.as_f64() => Ok(()),
        (wanted, found) if wanted == found => Ok(()),
        _ => differs(path, &pattern.to_string(), value),
    }
}

fn within(path: &str, wanted: &Map<String, Value>, found: &Map<String, Value>) -> Result<(), String> {
    wanted.iter().try_for_each(|(key, pattern)| at(&format!("{path}.{key}"), pattern, found.get(key)))
}

fn in_order(path: &str, wanted: &[Value], found: &[Value]) -> Result<(), String> {
    if wanted.len() != found.len() {
        return Err(format!(
            "{}: {} elements, not {}: {}",
            shown(path),
            found.len(),
            wanted.len(),
            brief(&found.into())
        ));
    }
    let mut pairs = wanted.iter().zip(found).enumerate();
    pairs.try_for_each(|(index, (pattern, value))| at(&format!("{path}[{index}]"), pattern, Some(value)))
}

fn by_word(path: &str, word: &str, argument: &Value, value: &Value) -> Result<(), String> {
    let several = || argument.as_array().cloned().unwrap_or_else(|| vec![argument.clone()]);
    let wanted = || format!("{{{word:?}: {argument}}}");
    let or = |is_so: bool| if is_so { Ok(()) } else { differs(path, &wanted(), value) };
    let holds = |part: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        part.as_str().is_some_and(|part| text.contains(part))
    };
    match word {
        "$any" => Ok(()),
        "$range" => or(value.as_f64().is_some_and(|value| {
            argument[0].as_f64().is_some_and(|least| least <= value)
                && argument[1].as_f64().is_some_and(|most| value <= most)
        })),
        "$contains" => or(several().iter().all(holds)),
        "$lacks" => or(!several().iter().any(holds)),
        "$one_of" => or(several().iter().any(|pattern| compare(pattern, value).is_ok())),
        "$all" => several().iter().try_for_each(|pattern| at(path, pattern, Some(value))),
        "$length" => or(length(value).is_some_and(|length| compare(argument, &length.into()).is_ok())),
        "$exact" => or(equal(argument, value)),
        "$has" => {
            let found = value.as_array().map(Vec::as_slice).unwrap_or_default();
            or(several().iter().all(|pattern| found.iter().any(|value| compare(pattern, value).is_ok())))
        }
        "$each" => match value.as_array() {
            None => or(false),
            Some(found) => (0..found.len())
                .try_for_each(|index| at(&format!("{path}[{index}]"), argument, found.get(index))),
        },
        "$unordered" => or(value.as_array().is_some_and(|found| matched(&several(), found))),
        _ => Err(format!("{}: unknown word {word:?}", shown(path))),
    }
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::Array(items) => Some(items.len()),
        Value::Object(map) => Some(map.len()),
        Value::String(text) => Some(text.len()),
        _ => None,
    }
}

/// The same, keys and all; numbers by value.
fn equal(wanted: &Value, found: &Value) -> bool {
    match (wanted, found) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|found| equal(value, found)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => wanted == found,
    }
}

/// Whether each pattern can be given an element of its own.
fn matched(patterns: &[Value], values: &[Value]) -> bool {
    let Some((first, rest)) = patterns.split_first() else { return values.is_empty() };
    (0..values.len()).any(|index| {
        compare(first, &values[index]).is_ok() && {
            let mut left = values.to_vec();
            left.remove(index);
            matched(rest, &left)
        }
    })
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "the answer" } else { path.trim_start_matches('.') }
}

fn differs(path: &str, wanted: &str, value: &Value) -> Result<(), String> {
    Err(format!("{}: {} where {wanted} was expected", shown(path), brief(value)))
}

/// Long values are shown by their beginning.
pub fn brief(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn says(pattern: &Value, value: &Value) -> String {
        compare(pattern, value).expect_err("it should differ")
    }

    #[test]
    fn object_is_compared_by_pattern_keys() {
        assert_eq!(compare(&json!({"a": 1}), &json!({"a": 1.0, "b": 2})), Ok(()));
        assert_eq!(says(&json!({"a": {"b": 1}}), &json!({"a": {"b": 2}})), "a.b: 2 where 1 was expected");
        assert_eq!(says(&json!({"a": 1}), &json!({})), "a: is missing");
        assert!(compare(&json!({"$exact": {"a": 1}}), &json!({"a": 1, "b": 2})).is_err());
    }

    #[test]
    fn lists_are_compared_by_length_and_order() {
        assert!(compare(&json!([1]), &json!([1, 2])).is_err());
        assert!(compare(&json!([2, 1]), &json!([1, 2])).is_err());
        assert_eq!(compare(&json!({"$unordered": [2, 1]}), &json!([1, 2])), Ok(()));
        assert!(compare(&json!({"$unordered": [1, 1]}), &json!([1, 2])).is_err());
        assert_eq!(compare(&json!({"$has": [{"a": 2}]}), &json!([{"a": 1}, {"a": 2}])), Ok(()));
        assert!(compare(&json!({"$each": {"$range": [1, 2]}}), &json!([1, 3])).is_err());
    }

    #[test]
    fn every_pattern_keyword_can_fail() {
        for (pattern, value) in [
            (json!({"$absent": true}), json!(1)),
            (json!({"$range": [1, 2]}), json!(3)),
            (json!({"$contains": ["a", "b"]}), json!("a")),
            (json!({"$lacks": "a"}), json!("ab")),
            (json!({"$has": [1]}), json!([2])),
            (json!({"$length": 2}), json!([2])),
            (json!({"$one_of": [1, 2]}), json!(3)),
            (json!({"$all": [{"$contains": "a"}, {"$lacks": "b"}]}), json!("ab")),
            (json!({"x": {"$any": true}}), json!({})),
        ] {
            says(&pattern, &value);
        }
    }

    #[test]
    fn endpoint_matches_its_placeholder() {
        assert_eq!(compare(&json!(["a"]), &json!([{"address": "a", "port": 1}])), Ok(()));
        assert!(says(&json!(["b"]), &json!([{"address": "a"}])).contains("not \"b\""));
    }

    #[test]
    fn rejects_unknown_pattern_keyword() {
        assert!(check(&json!({"a": [{"$rang": [1, 2]}]})).unwrap_err().contains("unknown word \"$rang\""));
        assert!(check(&json!({"$any": true, "a": 1})).unwrap_err().contains("stands alone"));
    }
}
