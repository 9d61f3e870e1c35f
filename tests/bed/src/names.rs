//! Addresses are chosen when a scenario starts; it speaks of them by name. Names go out as addresses, and
//! addresses come back as names.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use plumline::Kind;
use serde_json::{Map, Value};

/// What the names of one scenario stand for.
#[derive(Default)]
pub struct Names {
    addresses: BTreeMap<String, SocketAddr>,
    texts: BTreeMap<String, String>,
}

impl Names {
    /// `${name}` and `${name.port}` stand for this address.
    pub fn address(&mut self, name: &str, address: SocketAddr) {
        self.addresses.insert(name.to_owned(), address);
    }

    /// `${name}` stands for this text.
    pub fn text(&mut self, name: &str, text: String) {
        self.texts.insert(name.to_owned(), text);
    }

    /// The address of a name.
    pub fn of(&self, name: &str) -> Result<SocketAddr, String> {
        self.addresses.get(name).copied().ok_or_else(|| format!("there is no {name:?} in this scenario"))
    }

    /// Writes what the names stand for in their places.
    pub fn fill(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => match self.whole_port(text) {
                Some(port) => port.into(),
                None => self.fill_text(text)?.into(),
            },
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect::<Result<_, _>>()?,
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| Ok((self.fill_text(key)?, self.fill(value)?)))
                .collect::<Result<Map<String, Value>, String>>()?
                .into(),
            other => other.clone(),
        })
    }

    fn whole_port(&self, text: &str) -> Option<u16> {
        let name = text.strip_prefix("${")?.strip_suffix(".port}")?;
        self.addresses.get(name).map(SocketAddr::port)
    }

    /// The same in a text.
    pub fn fill_text(&self, text: &str) -> Result<String, String> {
        let Some((before, rest)) = text.split_once("${") else { return Ok(text.to_owned()) };
        let (name, after) = rest.split_once('}').ok_or_else(|| format!("{text:?} leaves a ${{ open"))?;
        let meant = if let Some(text) = self.texts.get(name) {
            text.clone()
        } else if let Some(name) = name.strip_suffix(".port") {
            self.of(name)?.port().to_string()
        } else {
            self.of(name)?.to_string()
        };
        Ok(format!("{before}{meant}{}", self.fill_text(after)?))
    }

    /// An answer as scenarios compare it: addresses by name, kinds by name, header names in lower case.
    pub fn read(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.named(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.read(item)),
            Value::Object(map) => {
                lower_headers(map);
                name_kind(map);
                let read = std::mem::take(map).into_iter().map(|(key, mut value)| {
                    self.read(&mut value);
                    (self.named(&key), value)
                });
                *map = read.collect();
            }
            _ => {}
        }
    }

    fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, address) in &self.addresses {
            text = replace_address(&text, &address.to_string(), name);
        }
        for (name, meant) in &self.texts {
            text = text.replace(meant, name);
        }
        text
    }
}

/// Replaces an address, but not the beginning of one with a longer port.
fn replace_address(text: &str, address: &str, name: &str) -> String {
    let mut read = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(address) {
        let is_whole = !after.starts_with(|next: char| next.is_ascii_digit());
        read.push_str(before);
        read.push_str(if is_whole { name } else { address });
        rest = after;
    }
    read + rest
}

fn lower_headers(map: &mut Map<String, Value>) {
    let headers = map.get_mut("headers").and_then(Value::as_array_mut);
    for name in headers.into_iter().flatten().filter_map(|pair| pair.get_mut(0)) {
        if let Value::String(name) = name {
            name.make_ascii_lowercase();
        }
    }
}

/// `"kind": 4` becomes `"kind": "Timeout"`; a number that is none stays, and matches nothing.
fn name_kind(map: &mut Map<String, Value>) {
    if let Some(number) = map.get("kind").and_then(Value::as_u64)
        && let Some(kind) = Kind::ALL.iter().find(|kind| u64::from(kind.number()) == number)
    {
        map.insert("kind".into(), kind.name().into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names() -> Names {
        let mut names = Names::default();
        names.address("a", "127.0.0.1:400".parse().unwrap());
        names.address("b", "127.0.0.1:4001".parse().unwrap());
        names
    }

    #[test]
    fn placeholders_become_addresses() {
        let filled = names().fill(&json!({"registry": "static://${a},${b}", "port": "${b.port}"})).unwrap();
        assert_eq!(filled, json!({"registry": "static://127.0.0.1:400,127.0.0.1:4001", "port": 4001}));
        assert!(names().fill(&json!("${c}")).is_err());
    }

    #[test]
    fn addresses_become_placeholders() {
        let mut answer = json!({
            "message": "127.0.0.1:4001 refused, 127.0.0.1:400 too, 127.0.0.1:40011 not",
            "kind": 4,
            "headers": [["X-A", "1"]],
        });
        names().read(&mut answer);
        let wanted = json!({
            "message": "b refused, a too, 127.0.0.1:40011 not", "kind": "Timeout", "headers": [["x-a", "1"]],
        });
        assert_eq!(answer, wanted);
    }
}
