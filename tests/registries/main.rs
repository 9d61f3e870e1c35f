//! The same promises for every registry, against its real server (from `tests/servers`).
//!
//! ```text
//!  promises   what every registry keeps, as one test each
//!  warnings   what is logged meanwhile
//!  consul …   one file for each registry: what only it has
//! ```

mod consul;
mod dns;
mod etcd;
mod etcd_cluster;
mod failover;
mod mistaken;
mod nacos;
mod promises;
mod warnings;
mod zookeeper;
