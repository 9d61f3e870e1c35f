//! A steady load: so many calls a second, each at its own moment, however long the ones before it take.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use plumline::{Client, Error, Result, TraceStep};

const WORKERS: u32 = 8;

/// One call, as the report needs it.
#[derive(Clone, Debug)]
pub struct Called {
    /// When it began, from the start of the load.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
    /// The port of the instance that answered; `None` if the call failed.
    pub port: Option<u16>,
    /// Every attempt: the port, and when it began.
    pub attempts: Vec<(u16, Duration)>,
}

/// The load while it runs.
pub struct Load {
    pub began: Instant,
    calls: Arc<Mutex<Vec<Called>>>,
    workers: Vec<JoinHandle<()>>,
    errors: Receiver<Error>,
    live: bool,
}

impl Load {
    /// Starts it.
    pub fn start(plum: &Client, per_second: u32, lasts: Duration) -> Result<Load> {
        let orders = plum.service("orders")?;
        let began = Instant::now();
        let calls: Arc<Mutex<Vec<Called>>> = Arc::default();
        let (tell, errors) = mpsc::channel();
        let gap = Duration::from_secs(1) / per_second;
        let total = (lasts.as_secs_f64() * f64::from(per_second)) as u32;
        let worker = |number: u32| {
            let (orders, calls, tell) = (orders.clone(), calls.clone(), tell.clone());
            std::thread::spawn(move || {
                for turn in (number..total).step_by(WORKERS as usize) {
                    sleep_until(began + gap * turn);
                    let at = began.elapsed();
                    let outcome = orders.get("/items/7").and_then(plumline::Response::error_for_status);
                    let took = began.elapsed().saturating_sub(at);
                    let called = match &outcome {
                        Ok(response) => called(at, took, Some(response.endpoint().port), response.trace()),
                        Err(error) => called(at, took, None, error.trace()),
                    };
                    calls.lock().expect("no worker panics").push(called);
                    if let Err(error) = outcome {
                        tell.send(error).ok();
                    }
                }
            })
        };
        let workers = (0..WORKERS).map(worker).collect();
        Ok(Load { began, calls, workers, errors, live: std::io::stdout().is_terminal() })
    }

    /// Prints a live line each half second until `end`.
    pub fn show_until(&self, end: Instant, names: &[String], ports: &[u16]) {
        const EACH: Duration = Duration::from_millis(500);
        loop {
            let elapsed = self.began.elapsed();
            let next = EACH * (elapsed.as_nanos() / EACH.as_nanos() + 1) as u32;
            sleep_until((self.began + next).min(end));
            if self.began + next > end {
                return;
            }
            self.show(next.saturating_sub(EACH), next, names, ports);
        }
    }

    fn show(&self, from: Duration, to: Duration, names: &[String], ports: &[u16]) {
        let calls = self.calls.lock().expect("no worker panics");
        let recent: Vec<&Called> =
            calls.iter().rev().take(2_000).filter(|call| (from..to).contains(&call.at)).collect();
        let total = calls.len();
        let failed = calls.iter().filter(|call| call.port.is_none()).count();
        let mut line = format!("{:>5.1} s  {total:>6} calls  {failed} failed ", to.as_secs_f64());
        for (name, port) in names.iter().zip(ports) {
            let share = recent.iter().filter(|call| call.port == Some(*port)).count();
            line.push_str(&format!("  {name} {share:>3}"));
        }
        drop(calls);
        if self.live {
            print!("\r{line}\x1b[K");
            std::io::stdout().flush().ok();
        } else {
            println!("{line}");
        }
        self.errors.try_iter().for_each(|error| self.say(&format!("FAILED: {error}")));
    }

    /// Prints a line of its own.
    pub fn say(&self, what: &str) {
        println!("{}{what}", if self.live { "\r\x1b[K" } else { "" });
    }

    /// Waits for the last call; all of them, in the order they began.
    pub fn finish(mut self) -> Vec<Called> {
        self.workers.drain(..).for_each(|worker| worker.join().expect("no worker panics"));
        self.errors.try_iter().for_each(|error| self.say(&format!("FAILED: {error}")));
        let mut calls = std::mem::take(&mut *self.calls.lock().expect("no worker panics"));
        calls.sort_by_key(|call| call.at);
        calls
    }
}

fn called(at: Duration, took: Duration, port: Option<u16>, trace: &[TraceStep]) -> Called {
    // Attempts follow each other: the last one ended when the call did.
    let mut end = at + took;
    let mut attempts: Vec<(u16, Duration)> = Vec::new();
    for step in trace.iter().rev() {
        let began = end.saturating_sub(step.elapsed);
        attempts.push((step.endpoint.port, began));
        end = began;
    }
    attempts.reverse();
    Called { at, took, port, attempts }
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}
