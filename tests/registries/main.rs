//! The same promises for every registry, against its real server.
//!
//! ```text
//!  server     a real server: started on free ports, killed, stopped, revived with its data or without
//!  promises   what every registry keeps, as one test each
//!  wire       a wire to a server, to be cut
//!  consul …   what only one of them has
//! ```

mod consul;
mod nacos;
mod promises;
mod server;
mod wire;
