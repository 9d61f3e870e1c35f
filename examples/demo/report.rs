//! What the demo proves, in figures.

use std::time::Duration;

use crate::load::Called;

/// Something that happened during the load.
pub struct Event {
    pub at: Duration,
    pub what: String,
}

/// The whole demo, afterwards.
pub struct Report {
    pub calls: Vec<Called>,
    pub events: Vec<Event>,
    pub names: [String; 3],
    pub ports: [u16; 3],
    /// Which instance was killed.
    pub victim: usize,
    pub killed: Duration,
    pub listening: Duration,
    /// How many instances the empty controller knew again at the end.
    pub known: usize,
}

/// Shares are counted over windows of this length.
const WINDOW: Duration = Duration::from_millis(250);

/// The dead one is out of rotation within this time, and back in its share within the other.
const OUT_WITHIN: Duration = Duration::from_millis(100);
const BACK_WITHIN: Duration = Duration::from_secs(2);

impl Report {
    /// Whether everything went as it should.
    pub fn keeps_its_promises(&self) -> bool {
        self.failed() == 0
            && self.out_of_rotation() <= OUT_WITHIN
            && self.back_in().is_some_and(|back| back <= BACK_WITHIN)
            && self.known == self.names.len()
    }

    pub fn failed(&self) -> usize {
        self.calls.iter().filter(|call| call.port.is_none()).count()
    }

    pub fn retries(&self) -> usize {
        self.calls.iter().map(|call| call.attempts.len().saturating_sub(1)).sum()
    }

    /// A latency that this share of the calls did not exceed.
    pub fn latency(&self, share: f64) -> Duration {
        let mut took: Vec<Duration> = self.calls.iter().map(|call| call.took).collect();
        took.sort_unstable();
        took.get((took.len() as f64 * share) as usize).or(took.last()).copied().unwrap_or_default()
    }

    /// From the kill to the beginning of the last attempt on the dead instance.
    pub fn out_of_rotation(&self) -> Duration {
        let dead = self.ports[self.victim];
        let attempts = self.calls.iter().flat_map(|call| &call.attempts);
        let on_the_dead =
            attempts.filter(|(port, at)| *port == dead && (self.killed..self.listening).contains(at));
        on_the_dead.map(|(_, at)| (*at).checked_sub(self.killed).unwrap()).max().unwrap_or_default()
    }

    /// From listening again until the instance gets at least half of what it got before it was killed.
    pub fn back_in(&self) -> Option<Duration> {
        let calls_of_victim = |from: Duration, length: Duration| {
            let port = self.ports[self.victim];
            let in_window =
                |call: &&Called| (from..from + length).contains(&call.at) && call.port == Some(port);
            self.calls.iter().filter(in_window).count() as f64 / length.as_secs_f64()
        };
        let before = Duration::from_secs(1);
        let usual = calls_of_victim(self.killed.saturating_sub(before), before);
        let windows = (0..).map(|step| self.listening + Duration::from_millis(25) * step);
        let end = self.calls.last()?.at;
        windows
            .take_while(|from| *from + WINDOW <= end)
            .find(|from| calls_of_victim(*from, WINDOW) >= (usual / 2.0).max(1.0))
            .map(|from| (from + WINDOW).checked_sub(self.listening).unwrap())
    }

    pub fn print(&self) {
        let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
        let back = self.back_in();
        println!("\n  calls              {}", self.calls.len());
        println!("  failed             {}", self.failed());
        println!("  retries            {}", self.retries());
        println!(
            "  latency p50 / p99  {:.2} ms / {:.2} ms",
            millis(self.latency(0.5)),
            millis(self.latency(0.99))
        );
        println!("  out of rotation    {:.0} ms after the kill", millis(self.out_of_rotation()));
        match back {
            Some(back) => println!("  back in its share  {:.2} s after it listened", back.as_secs_f64()),
            None => println!("  back in its share  not within the demo"),
        }
        println!("  registered again   {} of 3, after the controller came back empty", self.known);
        println!("  timeline           demo.html\n");
        println!(
            "demo: calls={} failed={} out_of_rotation_ms={:.0} back_in_s={}",
            self.calls.len(),
            self.failed(),
            millis(self.out_of_rotation()),
            back.map_or("never".to_owned(), |back| format!("{:.2}", back.as_secs_f64()))
        );
    }
}
