//! Query parameters, parsed as the original does: the first one of a name counts, and `+` is a space.

use std::borrow::Cow;

use axum::http::Uri;

#[derive(Debug, Clone, Copy)]
pub(crate) struct QueryParams<'a>(&'a str);

impl<'a> QueryParams<'a> {
    pub(crate) fn of(uri: &'a Uri) -> Self {
        Self(uri.query().unwrap_or_default())
    }

    /// The value of the parameter; empty if it is missing.
    pub(crate) fn get(self, name: &str) -> Cow<'a, str> {
        let mut pairs = form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
    }

    pub(crate) fn is_true(self, name: &str) -> bool {
        self.get(name) == "true"
    }

    /// The value of the parameter, unless it is missing or empty.
    pub(crate) fn given(self, name: &str) -> Option<Cow<'a, str>> {
        Some(self.get(name)).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_percent_encoded_unicode() {
        let uri = "/v1/discovery?service=%E8%AE%A2%20a%2Fb%26c+d&service=second&all=true".parse().unwrap();
        let query = QueryParams::of(&uri);
        assert_eq!(query.get("service"), "订 a/b&c d");
        assert!(query.is_true("all") && query.given("version").is_none());
    }
}
