//! The same promises for every registry, against its real server.
//!
//! ```text
//!  server     a real server: started on free ports, killed, stopped, revived with its data or without
//!  promises   what every registry keeps, as one test each
//!  toxiproxy  a path to a server that can be cut, or swallow what is sent
//!  consul …   one file for each registry: its server, and what only it has
//! ```

mod certificates;
mod consul;
mod dns;
mod etcd;
mod etcd_cluster;
mod promises;
mod server;
mod toxiproxy;
