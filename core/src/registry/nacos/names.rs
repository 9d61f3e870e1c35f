//! Encodes service names for Nacos.
//!
//! Nacos allows neither blanks nor non-ASCII characters, no `@` at the start, no `@@`, and at most 512 characters.
//! Characters that it would reject are percent-encoded, and decoded when a name is read. All other names are unchanged, so
//! that services of other programs are found under their own names.

use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};

/// The longest name.
const MAX_LENGTH: usize = 512;

/// Encodes the name of a service.
pub(super) fn escape(service: &str) -> Result<String> {
    let mut name = String::with_capacity(service.len());
    let mut before = '@';
    for (at, c) in service.char_indices() {
        let is_allowed = match c {
            '@' => before != '@',
            // Only a sequence that looks like an escape must be encoded.
            '%' => !begins_escape(&service[at..]),
            c => c.is_ascii_graphic(),
        };
        if is_allowed {
            name.push(c);
        } else {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| name.push_str(&format!("%{byte:02X}")));
        }
        before = c;
    }
    if name.is_empty() || name.len() > MAX_LENGTH {
        let message = format!(
            "{service:?} is not a valid name for Nacos: 1 to {MAX_LENGTH} characters after percent-encoding"
        );
        return Err(Error::invalid(message));
    }
    Ok(name)
}

/// Decodes the name of a service.
pub(super) fn unescape(name: &str) -> String {
    let decoded = percent_decode_str(name).decode_utf8().map_or_else(|_| name.to_owned(), Into::into);
    // A name of another program that only looks encoded is returned unchanged.
    if escape(&decoded).is_ok_and(|again| again == name) { decoded } else { name.to_owned() }
}

fn begins_escape(text: &str) -> bool {
    text.as_bytes().get(1..3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn encodes_only_what_nacos_rejects() {
        for same in ["orders", "com.shop.Orders:1.0", "a/b", "a@b", "100%", "providers:a.B::"] {
            assert_eq!(escape(same).unwrap(), same);
            assert_eq!(unescape(same), same);
        }
        for (service, name) in [
            ("订单", "%E8%AE%A2%E5%8D%95"),
            ("a b", "a%20b"),
            ("@a", "%40a"),
            ("a@@b", "a@%40b"),
            ("a%20b", "a%2520b"),
        ] {
            assert_eq!(escape(service).unwrap(), name);
            assert_eq!(unescape(name), service);
        }
        assert_eq!(unescape("%61"), "%61", "not ours");
        assert!(escape("").is_err());
        assert!(escape(&"订".repeat(100)).unwrap_err().message().contains("512"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn every_name_round_trips(service in "\\PC{1,30}|[@%a0 ]{1,8}") {
            let name = escape(&service).unwrap();
            prop_assert!(!name.contains("@@") && !name.starts_with('@'));
            prop_assert!(name.chars().all(|c| c.is_ascii_graphic()));
            prop_assert_eq!(unescape(&name), service);
        }
    }
}
