//! The same promises for every registry, against its real server.
//!
//! ```text
//!  server     a real server: started on free ports, killed, stopped, revived with its data or without
//!  promises   what every registry keeps, as one test each
//!  consul     what only Consul has
//! ```

mod consul;
mod promises;
mod server;
