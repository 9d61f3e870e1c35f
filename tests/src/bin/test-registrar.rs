//! A program to be killed: `test-registrar <registry> <service> <port> <ttl>` registers itself, says so, and stays
//! until its input ends.

use std::io::{Read, Write};
use std::time::Duration;

use plumline::Instance;
use serde_json::json;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [registry, service, port, ttl] = &arguments[..] else { panic!("four arguments are wanted") };
    let plum =
        plumline_tests::client(registry, json!({"registration": {"ttl": ttl, "wait_listening": "0s"}}));
    let instance = Instance::new(service, port.parse().expect("a port")).host("127.0.0.1");
    let me = plum.register(instance).expect("it can be registered");
    me.wait(Duration::from_secs(10)).expect("the registry answers");
    println!("registered");
    std::io::stdout().flush().expect("a reader");
    // Until whoever started us goes.
    let _ = std::io::stdin().read(&mut [0]);
}
