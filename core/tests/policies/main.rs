//! The policies in simulated traffic and virtual time. Seeded, so that a failure is reproducible.

mod balance;
mod ejection;
mod retry;
mod simulate;
mod stall;
