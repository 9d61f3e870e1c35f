//! The same promises for every registry, against its real server.
//!
//! ```text
//!  server     a real server: started on free ports, killed, stopped, revived with its data or without
//!  gate       a way to a server that can be shut, or swallow everything
//!  promises   what every registry keeps, as one test each
//!  consul     what only Consul has
//!  zookeeper  what only ZooKeeper has
//! ```

mod consul;
mod gate;
mod promises;
mod server;
mod zookeeper;
