//! The record of an endpoint that is out of rotation: why, since when, until when, and when it is tried next.
//!
//! Only the record and its keeping live here; when to eject and when to probe is decided in `resilience`.

use std::time::Duration;

use crate::clock::Tick;

/// What an endpoint is trusted with now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RotationStatus {
    /// In rotation.
    Trusted = 0,
    /// In rotation again after an ejection: one failure ejects it anew, one success clears it.
    OnTrial = 1,
    /// Out of rotation.
    Ejected = 2,
}

impl RotationStatus {
    pub(super) fn from_number(number: u8) -> RotationStatus {
        match number {
            0 => RotationStatus::Trusted,
            1 => RotationStatus::OnTrial,
            _ => RotationStatus::Ejected,
        }
    }
}

/// What took an endpoint out of rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No connection could be made.
    Connect,
    /// It did not answer in time.
    Timeout,
    /// It broke connections, or answered with errors.
    Answers,
    /// A user of `pick()` said that it failed.
    Reported,
}

impl Cause {
    /// How it is found out whether the endpoint is back.
    pub const fn probed_by(self) -> ProbeKind {
        match self {
            Cause::Connect | Cause::Reported => ProbeKind::Connect,
            Cause::Timeout | Cause::Answers => ProbeKind::Call,
        }
    }

    /// In words, such as `connect errors`.
    pub const fn in_words(self) -> &'static str {
        match self {
            Cause::Connect => "connect errors",
            Cause::Timeout => "timeouts",
            Cause::Answers => "failed answers",
            Cause::Reported => "reported failures",
        }
    }
}

/// How an ejected endpoint is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeKind {
    /// By opening a TCP connection in the background.
    Connect,
    /// By the next call that is safe to repeat.
    Call,
}

/// One ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// Why.
    pub cause: Cause,
    /// Since when.
    pub since: Tick,
    /// The moment it ends, if no probe succeeds earlier.
    pub until: Tick,
    /// How many times longer than a first ejection it may last.
    pub multiplier: u32,
    /// When it is probed next.
    pub next_probe: Tick,
    /// How long after that one the following is due.
    pub gap: Duration,
}

impl Ejection {
    /// When a background worker or a pick must look after it.
    pub(super) fn wakes_at(&self) -> Tick {
        match self.cause.probed_by() {
            ProbeKind::Connect => self.until.min(self.next_probe),
            ProbeKind::Call => self.until,
        }
    }

    /// When a call must look after it.
    pub(super) fn wants_call_at(&self) -> Tick {
        match self.cause.probed_by() {
            ProbeKind::Connect => Tick::NEVER,
            ProbeKind::Call => self.next_probe,
        }
    }
}
