//! A controller to be killed: `test-controller <address> <ttl in ms>` prints where it listens.

use std::io::Write;
use std::time::Duration;

use plumline_controller::{Config, Controller};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address = arguments[0].parse().expect("an address");
    let ttl = Duration::from_millis(arguments[1].parse().expect("milliseconds"));
    let config = Config::new().listen(address).service_ttl(ttl).threads(1);
    let controller = Controller::start(config).expect("a controller");
    println!("{}", controller.address());
    std::io::stdout().flush().expect("a reader");
    loop {
        std::thread::park();
    }
}
