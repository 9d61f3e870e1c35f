//! Calls a service by its name. `cargo run -p plumline-examples --bin call -- plum://127.0.0.1:8080`

use std::time::Duration;

use plumline::{Client, Kind, Request};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plum = match std::env::args().nth(1) {
        Some(registry) => Client::new(&registry)?,
        None => Client::from_env()?, // the variable PLUMLINE_REGISTRY
    };

    // An answer of any status is a response; error_for_status() turns 4xx and 5xx into an error.
    let response = plum.get("orders", "/items/7")?.error_for_status()?;
    let item: Value = response.json()?;
    println!("got {item} from {} in {} attempt(s)", response.endpoint().address(), response.attempts());

    // A POST is sent once, unless you say that the service may see it twice.
    let order = Request::post("orders", "/items")
        .json(&json!({"name": "a plum"}))
        .header("X-Team", "fruit")
        .idempotent(true)
        .timeout(Duration::from_millis(800));
    println!("posted: {}", plum.call(&order)?.status());

    // What is asked for often is worth a handle: the name is looked up once.
    let orders = plum.service("orders")?;
    let statuses: Vec<u16> = (0..3)
        .map(|item| Ok(orders.get(&format!("/items/{item}"))?.status()))
        .collect::<plumline::Result<_>>()?;
    println!("three more: {statuses:?}");

    // Where nobody can be asked, the error says why.
    match plum.get("ordrs", "/items/7") {
        Err(error) if error.kind() == Kind::NoEndpoint => println!("as expected: {error}"),
        other => return Err(format!("a service that is not there gave {other:?}").into()),
    }
    plum.close();
    Ok(())
}
