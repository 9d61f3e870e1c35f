//! Tells who offers a service, and every change of that, until it is ended (Ctrl-C).
//! `cargo run -p plumline-examples --bin watch -- plum://127.0.0.1:8080`

use plumline::Client;

fn main() -> plumline::Result<()> {
    let plum = match std::env::args().nth(1) {
        Some(registry) => Client::new(&registry)?,
        None => Client::from_env()?, // the variable PLUMLINE_REGISTRY
    };

    // The first change is what is there now. A slow reader gets changes merged, and misses none.
    for change in plum.watch("orders")? {
        let addresses: Vec<String> = change.endpoints.iter().map(|endpoint| endpoint.address()).collect();
        let (came, went) = (change.added.len(), change.removed.len());
        println!("{}: +{came} -{went} {}", change.kind.name(), addresses.join(" "));
    }
    Ok(())
}
