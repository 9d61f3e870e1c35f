//! An answer as it came: status, headers, body.

use std::fmt;

/// A complete answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// The headers, duplicates and order kept.
    pub headers: Headers,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// A response with this status, these headers and this body.
    pub fn new(status: u16, headers: Headers, body: impl Into<Vec<u8>>) -> Answer {
        Answer { status, headers, body: body.into() }
    }
}

/// Header fields in their order, duplicates kept, names matched without regard to case.
///
/// The text is one buffer; no field becomes an object of its own until somebody asks for it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    text: Vec<u8>,
    fields: Vec<Field>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Field {
    name: (u32, u32),
    value: (u32, u32),
}

impl Headers {
    /// No fields, with room for some.
    pub fn with_capacity(fields: usize, text: usize) -> Headers {
        Headers { text: Vec::with_capacity(text), fields: Vec::with_capacity(fields) }
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let name = self.append(name.as_bytes());
        let value = self.append(value);
        self.fields.push(Field { name, value });
    }

    fn append(&mut self, bytes: &[u8]) -> (u32, u32) {
        let start = self.text.len() as u32;
        self.text.extend_from_slice(bytes);
        (start, bytes.len() as u32)
    }

    fn slice(&self, (start, length): (u32, u32)) -> &[u8] {
        &self.text[start as usize..(start + length) as usize]
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Every field: name as sent, value as bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let name = |field: &Field| std::str::from_utf8(self.slice(field.name)).unwrap_or_default();
        self.fields.iter().map(move |field| (name(field), self.slice(field.value)))
    }

    /// The first value of that name as text; `None` if there is none or it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_bytes(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The first value of that name as bytes.
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|field| self.is_named(field, name)).map(|field| self.slice(field.value))
    }

    /// Every value of that name.
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| self.is_named(field, name))
            .map(|field| self.slice(field.value))
    }

    fn is_named(&self, field: &Field, name: &str) -> bool {
        self.slice(field.name).eq_ignore_ascii_case(name.as_bytes())
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value))))
            .finish()
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Headers {
        let mut headers = Headers::default();
        fields.into_iter().for_each(|(name, value)| headers.push(name.as_ref(), value.as_ref()));
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_duplicates_are_kept() {
        let headers: Headers = [("Set-Cookie", "a"), ("X", "1"), ("set-cookie", "b")].into_iter().collect();
        assert_eq!(headers.get("SET-COOKIE"), Some("a"));
        assert_eq!(headers.get_all("set-cookie").count(), 2);
        assert_eq!(headers.get("y"), None);
        assert_eq!(
            headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["Set-Cookie", "X", "set-cookie"]
        );
    }
}
