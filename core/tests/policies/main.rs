//! The policies in virtual time: what traffic makes of them, whatever history it brings. Seeded, so that a
//! failure here fails again.

mod balance;
mod ejection;
mod retry;
mod simulate;
mod stall;
