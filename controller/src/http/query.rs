//! The parameters behind the `?`, read as the original reads them: the first of a name counts, `+` is a space.

use std::borrow::Cow;

use axum::http::Uri;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(crate) fn of(uri: &'a Uri) -> Self {
        Self(uri.query().unwrap_or_default())
    }

    /// The parameter's text; a missing one is empty.
    pub(crate) fn get(self, name: &str) -> Cow<'a, str> {
        let mut pairs = form_urlencoded::parse(self.0.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
    }

    pub(crate) fn is_true(self, name: &str) -> bool {
        self.get(name) == "true"
    }

    /// The parameter, unless it is missing or empty.
    pub(crate) fn given(self, name: &str) -> Option<Cow<'a, str>> {
        Some(self.get(name)).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_script_arrive_whole() {
        let uri = "/v1/discovery?service=%E8%AE%A2%20a%2Fb%26c+d&service=second&all=true".parse().unwrap();
        let query = Query::of(&uri);
        assert_eq!(query.get("service"), "订 a/b&c d");
        assert!(query.is_true("all") && query.given("version").is_none());
    }
}
