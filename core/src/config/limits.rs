//! What every value must keep to, in one place.

use std::time::Duration;

use super::{Config, Settings, format_duration};
use crate::error::{Error, Result};
use crate::header::check_header;

const DAY: Duration = Duration::from_hours(24);

impl Config {
    /// Refuses values out of range, naming the key, the value and what would be right.
    pub(super) fn check(&self) -> Result<()> {
        let ms = Duration::from_millis;
        within("registry.poll_interval", self.registry.poll_interval, ms(100), DAY)?;
        within("registry.timeout", self.registry.timeout, ms(10), ms(60_000))?;
        within("cache.ttl", self.cache.ttl, ms(100), DAY)?;
        within("registration.ttl", self.registration.ttl, ms(1_000), DAY)?;
        within("registration.wait_listening", self.registration.wait_listening, ms(0), DAY)?;
        within("registration.drain", self.registration.drain, ms(0), DAY)?;
        self.settings.check("")?;
        for service in self.services.keys() {
            if service.is_empty() {
                return Err(Error::invalid("services: the service name is empty"));
            }
            self.settings_for(service).check(&format!("services.{service}."))?;
        }
        Ok(())
    }
}

impl Settings {
    fn check(&self, prefix: &str) -> Result<()> {
        let ms = Duration::from_millis;
        let key = |name: &str| format!("{prefix}{name}");
        within(&key("timeout"), self.timeout, ms(1), DAY)?;
        within(&key("attempt_timeout"), self.attempt_timeout.unwrap_or(DAY), ms(1), DAY)?;
        within(&key("connect_timeout"), self.connect_timeout, ms(1), DAY)?;
        within(&key("retry.base"), self.retry.base, ms(0), self.retry.cap)?;
        within(&key("retry.cap"), self.retry.cap, ms(0), DAY)?;
        within(&key("outlier.base_ejection"), self.outlier.base_ejection, ms(1), self.outlier.max_ejection)?;
        number(&key("retry.attempts"), f64::from(self.retry.attempts), 1.0, 100.0)?;
        number(&key("retry.budget"), self.retry.budget, 0.0, 1e6)?;
        number(&key("retry.budget_ratio"), self.retry.budget_ratio, 0.0, 10.0)?;
        let in_a_row = [
            ("outlier.consecutive_connect_failures", self.outlier.consecutive_connect_failures),
            ("outlier.consecutive_failures", self.outlier.consecutive_failures),
        ];
        in_a_row.iter().try_for_each(|(name, times)| number(&key(name), f64::from(*times), 1.0, 1e6))?;
        self.headers.iter().try_for_each(|(name, value)| {
            check_header(name, value).map_err(|error| Error::invalid(format!("{}: {error}", key("headers"))))
        })
    }
}

fn within(key: &str, value: Duration, least: Duration, most: Duration) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    let [value, least, most] = [value, least, most].map(format_duration);
    Err(Error::invalid(format!("{key} is {value}; it must be from {least} to {most}")))
}

fn number(key: &str, value: f64, least: f64, most: f64) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(format!("{key} is {value}; it must be from {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn out_of_range_value_names_the_range() {
        let refused = |value| Config::from_value(value).unwrap_err().to_string();
        assert_eq!(
            refused(json!({"retry": {"attempts": 0}})),
            "retry.attempts is 0; it must be from 1 to 100"
        );
        assert_eq!(refused(json!({"timeout": 0})), "timeout is 0s; it must be from 1ms to 86400s");
        assert_eq!(
            refused(json!({"services": {"": {"timeout": "9s"}}})),
            "services: the service name is empty"
        );
        assert_eq!(
            refused(json!({"services": {"a": {"retry": {"base": "9s"}}}})),
            "services.a.retry.base is 9s; it must be from 0s to 5s"
        );
        assert!(refused(json!({"headers": {"X": "a\r\nb"}})).contains("control character"));
    }
}
