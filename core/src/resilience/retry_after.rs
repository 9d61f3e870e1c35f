//! `Retry-After`: what a server that refuses asks for, as seconds or as a date.
//!
//! The date is by the wall clock, the only place where one is looked at; it is turned into a wait at once, so
//! a clock that jumps later moves nothing.

use std::time::{Duration, SystemTime};

/// The wait that the header's value asks for; `None` where it is neither a number nor a date. A date that has
/// passed is no wait.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    Some(until.duration_since(now).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    fn then() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    #[test]
    fn parses_seconds_and_dates() {
        let ahead = Some(Duration::from_secs(20));
        assert_eq!(parse_retry_after(" 20 ", then()), ahead);
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:57 GMT", then()), ahead);
        assert_eq!(parse_retry_after("Sunday, 06-Nov-94 08:49:57 GMT", then()), ahead);
        assert_eq!(parse_retry_after("Sun Nov  6 08:49:57 1994", then()), ahead);
    }

    #[test]
    fn past_date_means_no_wait() {
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:36 GMT", then()), Some(Duration::ZERO));
    }

    #[test]
    fn invalid_values_are_ignored() {
        for nonsense in ["", "soon", "-1", "1.5", "+3", "Sun, 99 Nov 1994 08:49:37 GMT", "٣"] {
            assert_eq!(parse_retry_after(nonsense, then()), None, "{nonsense:?}");
        }
        assert!(parse_retry_after("99999999999999999999999", then()) > Some(Duration::from_secs(1 << 60)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

        #[test]
        fn nothing_a_server_sends_panics(value in ".*") {
            let _ = parse_retry_after(&value, SystemTime::UNIX_EPOCH);
        }
    }
}
