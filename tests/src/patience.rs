//! How much longer tests wait on a busy machine. The tests of core and controller include this file by its path, because
//! they cannot depend on a crate that depends on theirs.

/// How many times longer than usual a test waits for what must happen: `PLUMLINE_TEST_PATIENCE`, 1 if it is not set.
/// A run that keeps a machine busy raises it.
pub fn patience() -> u32 {
    let set = std::env::var("PLUMLINE_TEST_PATIENCE").ok();
    set.map_or(1, |factor| factor.parse().expect("PLUMLINE_TEST_PATIENCE is a whole number"))
}
