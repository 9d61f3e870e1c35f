//! Durations as people write them: `"250ms"`, `"5s"`, `"1m30s"`, or a number of seconds.

use std::time::Duration;

const UNITS: [(&str, f64); 6] =
    [("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];

/// Reads `"250ms"`, `"1.5s"`, `"1m30s"` or a bare number of seconds.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(plumline_wire::duration::parse_duration("1m30s"), Ok(Duration::from_secs(90)));
/// assert!(plumline_wire::duration::parse_duration("soon").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let refuse = || {
        format!("{text:?} is not a valid duration; write \"250ms\", \"5s\", \"1m30s\" or a number of seconds")
    };
    if let Ok(seconds) = text.parse::<f64>() {
        return from_seconds(seconds).ok_or_else(refuse);
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(refuse)?;
        let amount: f64 = rest[..digits].parse().map_err(|_| refuse())?;
        rest = &rest[digits..];
        let (unit, scale) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit)).ok_or_else(refuse)?;
        rest = &rest[unit.len()..];
        seconds += amount * scale;
    }
    if text.is_empty() { Err(refuse()) } else { from_seconds(seconds).ok_or_else(refuse) }
}

/// Rounds to whole nanoseconds, so that `"0.8"` and `"800ms"` are the same duration. `None` if the number is negative, not
/// finite or larger than about 285 years.
pub fn from_seconds(seconds: f64) -> Option<Duration> {
    let nanos = (seconds * 1e9).round();
    (0.0..9e18).contains(&nanos).then(|| Duration::from_nanos(nanos as u64))
}

/// Writes a duration so that [`parse_duration`] reads it back: `"250ms"`, `"1.5s"`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".into(),
        _ if nanos.is_multiple_of(1_000_000_000) => format!("{}s", duration.as_secs()),
        _ if nanos.is_multiple_of(1_000_000) => format!("{}ms", duration.as_millis()),
        _ if nanos.is_multiple_of(1_000) => format!("{}us", duration.as_micros()),
        _ => format!("{nanos}ns"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_units_and_bare_seconds() {
        for (text, millis) in
            [("250ms", 250), ("5s", 5000), ("1m30s", 90_000), ("0.8", 800), ("0", 0), ("2h", 7_200_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for nonsense in
            ["", "-1", "fast", "5 s", "1x", "NaN", "inf", "1e300", "s", "1.2.3s", "99999999999999999999999h"]
        {
            assert!(parse_duration(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn formatted_duration_parses_to_the_same() {
        for nanos in [0, 1, 999, 1_000, 250_000_000, 1_500_000_000, 90_000_000_000] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }
    }
}
