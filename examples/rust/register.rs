//! Serves HTTP and registers itself, until its standard input ends (Ctrl-D).
//! `cargo run -p plumline-examples --bin register -- plum://127.0.0.1:8080`

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use plumline::{Client, Instance};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve_in_background));

    let plum = match std::env::args().nth(1) {
        Some(registry) => Client::new(&registry)?,
        None => Client::from_env()?, // the variable PLUMLINE_REGISTRY
    };
    // `host` is where others reach us; left out, it is this machine's address towards the registry.
    let instance = Instance::new("orders", port).host("127.0.0.1").version("v1").label("env", "example");
    let me = plum.register(instance.clone())?;
    me.wait(Duration::from_secs(10))?;
    println!("registered {}", me.address());

    // What is registered can change at any time, and stays changed after every outage of the registry.
    me.update(instance.label("warm", "yes"))?;

    std::io::stdin().read_to_end(&mut Vec::new())?;
    // Deregisters, then waits for calls that are still on their way. Dropping the handle would do without the wait.
    me.close(Duration::from_millis(200))?;
    println!("deregistered");
    Ok(())
}

fn serve_in_background(connection: TcpStream) {
    std::thread::spawn(move || serve(&connection));
}

/// Answers the requests of one connection until it ends.
fn serve(connection: &TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    loop {
        let mut length = 0;
        let mut line = String::from("head");
        while !line.trim_end().is_empty() {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        std::io::copy(&mut (&mut reader).take(length), &mut std::io::sink())?;
        let body = r#"{"id":7,"name":"a plum"}"#;
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
        (&mut &*connection).write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
    }
}
