//! A protocol of one's own: Plumline chooses the endpoint, the program does the talking.
//! `cargo run -p plumline-examples --bin pick -- plum://127.0.0.1:8080`

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use plumline::{Client, Endpoint};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let plum = match std::env::args().nth(1) {
        Some(registry) => Client::new(&registry)?,
        None => Client::from_env()?, // the variable PLUMLINE_REGISTRY
    };

    // run() reports how it went: an Err counts as a failure of the endpoint, and enough of them take it out.
    let answer = plum.pick("greeter")?.run(|endpoint| greet(endpoint, "a plum"))?;
    println!("{answer}");

    // The same by hand. The first word counts; a pick that is dropped without one says nothing.
    let pick = plum.pick("greeter")?;
    match greet(pick.endpoint(), "another plum") {
        Ok(answer) => {
            pick.success();
            println!("{answer}");
        }
        Err(error) => {
            pick.failure();
            return Err(error.into());
        }
    }
    Ok(())
}

/// One line there, one line back.
fn greet(endpoint: &Endpoint, name: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(endpoint.socket_addr())?;
    writeln!(connection, "{name}")?;
    let mut answer = String::new();
    BufReader::new(connection).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}
