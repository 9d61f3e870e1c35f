//! What every registry keeps. `promises!(Type)` makes a test of each.
//!
//! ```text
//!  known      who registers is known to all
//!  outage     the server goes and comes
//!  together   clients of one process
//! ```

mod known;
mod outage;
mod together;

use std::time::Duration;

use plumline::{Client, Instance, Registration};
use plumline_tests::{client, sharing, until};
use serde_json::{Value, json};

pub use known::*;
pub use outage::*;
pub use together::*;

/// So long an instance is kept; a beat comes each second.
pub const TTL: Duration = Duration::from_secs(3);
const SOON: Duration = Duration::from_secs(5);
/// Losing a registry, coming back to it and a beat.
pub const ONE_BEAT: Duration = Duration::from_millis(1_500 + 1_150);

/// The tests of one registry.
macro_rules! promises {
    ($server:ty, seen within $ms:literal ms) => {
        mod promises {
            use super::*;

            crate::promises::smoke!($server);
            crate::promises::tests! { $server:
                whoever_is_kept_for_less_than_others_is_beaten_for_in_time(),
                trap_11_a_server_that_is_stopped_and_continued_loses_nobody(),
                two_thousand_instances_are_seen_by_a_hundred_watchers(),
                clients_of_one_process_go_and_come_without_harm_to_each_other(),
                an_instance_id_outlives_a_move_and_another_ones_end(),
                what_is_closed_in_an_outage_ends_though_other_clients_go_on(),
                clients_that_know_a_server_by_name_do_not_wait_for_each_other(),
            }

            /// The bounds are what these tests are about: they run alone.
            mod timed {
                use super::*;
                use std::time::Duration;

                crate::promises::tests! { $server:
                    whoever_registers_is_seen_by_others_and_by_the_servers_own_clients(Duration::from_millis($ms)),
                    what_somebody_deletes_by_hand_is_back_within_a_beat(),
                }
            }
        }
    };
}

/// What is enough for another version of a server whose present version keeps all promises.
macro_rules! smoke {
    ($server:ty) => {
        crate::promises::tests! { $server:
            what_others_wrote_is_read_and_rubbish_left_out(),
            whoever_is_killed_is_gone_after_its_ttl_and_whoever_closes_at_once(),
            trap_11_an_outage_longer_than_the_ttl_loses_nobody(false),
            trap_11_a_server_that_comes_back_empty_is_filled_again(true),
        }
    };
}

macro_rules! tests {
    ($server:ty: $($name:ident($($argument:expr)?)),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                crate::promises::$name::<$server>($($argument)?);
            }
        )+
    };
}

pub(crate) use {promises, smoke, tests};

/// A client whose instances are kept for [`TTL`], registered without a look at their ports.
pub fn registering(address: &str) -> Client {
    client(address, short_lived())
}

/// One like it that shares what others like it have opened.
fn partner(address: &str) -> Client {
    sharing(address, short_lived())
}

fn short_lived() -> Value {
    json!({"registration": {"ttl": "3s", "wait_listening": "0s"}})
}

pub fn at(service: &str, port: u16) -> Instance {
    Instance::new(service, port).host("127.0.0.1")
}

/// Waits until the registry's word on who is missing counts: it has answered for as long as the longest TTL it knows.
pub fn await_settled(plum: &Client) {
    let is_settled = || plum.stats().unwrap().cache.registries[0].settled;
    until("its word on who is missing counts", Duration::from_secs(45), is_settled);
}

fn register_many(plum: &Client, service: &str, count: u16) -> Vec<Registration> {
    (1..=count).map(|port| plum.register(at(service, port)).unwrap()).collect()
}
