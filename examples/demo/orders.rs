//! One instance of the demo's service, in Rust: a small real HTTP server that registers itself.
//!
//! `demo-orders REGISTRY PORT`; the Python twin is `orders.py`.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

use plumline::{Client, Instance};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let registry = arguments.next().ok_or("usage: demo-orders REGISTRY PORT")?;
    let port: u16 = arguments.next().ok_or("usage: demo-orders REGISTRY PORT")?.parse()?;

    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let plum = Client::new(&registry)?;
    let _me = plum.register(Instance::new("orders", port).host("127.0.0.1").version("v1"))?;

    for connection in listener.incoming() {
        let connection = connection?;
        std::thread::spawn(move || serve(&connection));
    }
    Ok(())
}

/// Answers the requests of one connection until it ends.
fn serve(connection: &TcpStream) -> std::io::Result<()> {
    connection.set_nodelay(true)?;
    let mut lines = BufReader::new(connection).lines();
    let body = r#"{"item":7,"name":"a plum","from":"rust"}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    loop {
        // A request without a body ends at the first empty line.
        while lines.next().ok_or(std::io::ErrorKind::UnexpectedEof)??.is_empty().eq(&false) {}
        (&mut &*connection).write_all(answer.as_bytes())?;
    }
}
