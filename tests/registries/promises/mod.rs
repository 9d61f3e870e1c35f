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
                short_ttl_is_renewed_in_time(),
                trap_11_stopped_server_loses_nobody(),
                hundred_watchers_see_2000_instances(),
                clients_of_one_process_close_independently(),
                instance_id_survives_move_and_foreign_close(),
                close_during_outage_is_applied_afterwards(),
                clients_resolve_server_name_independently(),
            }

            /// The bounds are what these tests are about: they run alone.
            mod timed {
                use super::*;
                use std::time::Duration;

                crate::promises::tests! { $server:
                    registration_is_seen_by_other_clients(Duration::from_millis($ms)),
                    deleted_record_is_back_within_a_heartbeat(),
                }
            }
        }
    };
}

/// What is enough for another version of a server whose present version keeps all promises.
macro_rules! smoke {
    ($server:ty) => {
        crate::promises::tests! { $server:
            reads_foreign_records_and_skips_invalid_ones(),
            killed_instance_expires_and_closed_one_is_gone(),
            trap_11_outage_longer_than_ttl_loses_nobody(false),
            trap_11_emptied_server_is_refilled(true),
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
