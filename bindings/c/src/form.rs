//! A form's fields as a body: `application/x-www-form-urlencoded`, as browsers write it.

/// The `Content-Type` of what [`encoded`] gives.
pub(crate) const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// `name=value` pairs, a blank as `+`.
pub(crate) fn encoded<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut form = String::new();
    for (name, value) in fields {
        if !form.is_empty() {
            form.push('&');
        }
        escape_into(&mut form, name);
        form.push('=');
        escape_into(&mut form, value);
    }
    form
}

fn escape_into(form: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b' ' => form.push('+'),
            _ if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) => form.push(char::from(byte)),
            _ => form.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn what_would_break_out_of_its_place_is_escaped() {
        assert_eq!(encoded([("a b", "1&2=3"), ("ü", "")]), "a+b=1%262%3D3&%C3%BC=");
    }
}
