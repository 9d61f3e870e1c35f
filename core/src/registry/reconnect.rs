//! When to try a registry again that was lost: pure arithmetic, chance comes in as an argument.
//!
//! A registry that restarts loses all its clients in the same instant. If they came back together they would
//! knock it over again, so the first return is spread evenly over up to two seconds. Every later wait is about
//! as long as that spread, a little longer each time: a client that was spread once then keeps its distance
//! from the others, whenever the outage ends. (Doubling waits would bunch them up again.)

use std::time::Duration;

/// The longest spread of a first return.
const SPREAD: Duration = Duration::from_secs(2);
/// How much longer each further wait is, in spreads, and how long it may become.
const GROWTH: f64 = 0.25;
const LONGEST: f64 = 1.5;

/// The state of one connection to one registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconnect {
    failures: u32,
}

impl Reconnect {
    /// It answers.
    pub fn found(&mut self) {
        self.failures = 0;
    }

    /// Whether the last try failed.
    pub const fn is_lost(&self) -> bool {
        self.failures > 0
    }

    /// It does not answer: how long to wait before the next try. `ttl` is how long the registry keeps an
    /// instance, `chance` lies in [0, 1).
    pub fn lost(&mut self, ttl: Duration, chance: f64) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let spread = SPREAD.min(ttl / 6);
        if self.failures == 1 {
            return spread.mul_f64(chance);
        }
        let grown = (1.0 + GROWTH * f64::from(self.failures - 2)).min(LONGEST);
        spread.mul_f64(grown * (0.6 + 0.8 * chance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(15);

    /// How many of 10,000 clients come back in each tenth of the first two seconds after a restart, when the
    /// registry was away for `outage` seconds.
    fn arrivals(outage: f64) -> Vec<usize> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut tenths = vec![0; 20];
        for _ in 0..10_000 {
            let mut client = Reconnect::default();
            let mut at = client.lost(TTL, random.f64()).as_secs_f64();
            while at < outage {
                at += client.lost(TTL, random.f64()).as_secs_f64();
            }
            if let Some(tenth) = tenths.get_mut(((at - outage) * 10.0) as usize) {
                *tenth += 1;
            }
        }
        tenths
    }

    #[test]
    fn ten_thousand_clients_do_not_come_back_together() {
        for outage in (0..40).map(|quarters| f64::from(quarters) / 4.0).chain([60.0, 600.0]) {
            let tenths = arrivals(outage);
            let peak = *tenths.iter().max().unwrap() as f64;
            let mean = tenths.iter().sum::<usize>() as f64 / 20.0;
            assert!(peak <= 2.0 * mean, "{outage} s: peak {peak}, mean {mean}: {tenths:?}");
        }
    }

    #[test]
    fn no_wait_outlasts_a_registration() {
        for ttl in [Duration::from_secs(1), TTL, Duration::from_mins(10)] {
            let mut client = Reconnect::default();
            for _ in 0..100 {
                assert!(client.lost(ttl, 0.999) < ttl * 2 / 5);
            }
        }
    }
}
