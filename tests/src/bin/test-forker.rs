//! A program that goes on as its own forked child: `test-forker <registry>` registers port 1 of "orders", becomes the
//! child, registers port 2, lets go of what it inherited, says how many it finds, and stays until its input ends.

use std::io::{Read, Write};
use std::time::Duration;

use plumline::{Instance, runtime};
use serde_json::json;

fn main() {
    let registry = std::env::args().nth(1).expect("a registry");
    let settings = json!({"registration": {"ttl": "3s", "wait_listening": "0s"}});
    let plum = plumline_tests::client(&registry, settings);
    let register = |port| {
        let me =
            plum.register(Instance::new("orders", port).host("127.0.0.1")).expect("it can be registered");
        me.wait(Duration::from_secs(10)).expect("the registry answers");
        me
    };
    let inherited = register(1);
    assert_eq!(plum.discover("orders").expect("an answer").len(), 1);

    runtime::forked();

    let _own = register(2);
    drop(inherited);
    println!("{}", plum.discover("orders").expect("an answer").len());
    std::io::stdout().flush().expect("a reader");
    // Until whoever started us goes.
    let _ = std::io::stdin().read(&mut [0]);
}
