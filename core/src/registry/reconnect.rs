//! When to try a failed registry again. Pure arithmetic: the random number is an argument.
//!
//! A registry that restarts loses all its clients at the same moment. If all of them reconnected together, they would
//! overload it again, so the first retry is spread evenly over up to two seconds. Every later wait is about as long as
//! that spread, a little longer each time, so that the clients stay spread whenever the outage ends. (Doubling the waits
//! would bunch the retries up again.)

use std::time::Duration;

/// The maximum spread of the first retry.
const SPREAD: Duration = Duration::from_secs(2);
/// By how much each further wait grows, and its maximum; both in units of the spread.
const GROWTH: f64 = 0.25;
const LONGEST: f64 = 1.5;

/// The backoff of one connection to one registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReconnectBackoff {
    failures: u32,
}

impl ReconnectBackoff {
    /// The registry answered: resets the backoff.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Whether the last attempt failed.
    pub const fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// The registry did not answer: returns how long to wait before the next attempt. `ttl` is how long the registry keeps
    /// an instance without a heartbeat; `random` is in [0, 1).
    pub fn failed(&mut self, ttl: Duration, random: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let spread = SPREAD.min(ttl / 6);
        if self.failures == 1 {
            return spread.mul_f64(random);
        }
        let grown = (1.0 + GROWTH * f64::from(self.failures - 2)).min(LONGEST);
        spread.mul_f64(grown * (0.6 + 0.8 * random))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(15);

    /// How many of 10,000 clients reconnect in each tenth of a second of the first two seconds after an outage of
    /// `outage` seconds.
    fn arrivals(outage: f64) -> Vec<usize> {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut tenths = vec![0; 20];
        for _ in 0..10_000 {
            let mut client = ReconnectBackoff::default();
            let mut at = client.failed(TTL, rng.f64()).as_secs_f64();
            while at < outage {
                at += client.failed(TTL, rng.f64()).as_secs_f64();
            }
            if let Some(tenth) = tenths.get_mut(((at - outage) * 10.0) as usize) {
                *tenth += 1;
            }
        }
        tenths
    }

    #[test]
    fn spreads_reconnects_of_10000_clients() {
        for outage in (0..40).map(|quarters| f64::from(quarters) / 4.0).chain([60.0, 600.0]) {
            let tenths = arrivals(outage);
            let peak = *tenths.iter().max().unwrap() as f64;
            let mean = tenths.iter().sum::<usize>() as f64 / 20.0;
            assert!(peak <= 2.0 * mean, "{outage} s: peak {peak}, mean {mean}: {tenths:?}");
        }
    }

    #[test]
    fn wait_is_shorter_than_the_ttl() {
        for ttl in [Duration::from_secs(1), TTL, Duration::from_mins(10)] {
            let mut client = ReconnectBackoff::default();
            for _ in 0..100 {
                assert!(client.failed(ttl, 0.999) < ttl * 2 / 5);
            }
        }
    }
}
