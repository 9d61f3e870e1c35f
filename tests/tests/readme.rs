//! The program on the README's first page runs, against a real controller. (Its twins in other languages: `tests/documentation`.)

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::OnceLock;

use plumline::{Client, Instance};
use plumline_controller::{Config, Controller};
use plumline_tests::listener;

mod program {
    include!(concat!(env!("OUT_DIR"), "/readme.rs"));
}

static ADDRESS: OnceLock<String> = OnceLock::new();

/// What the README's program asks in place of `plum://127.0.0.1:8080`.
fn address() -> String {
    ADDRESS.get().expect("the controller runs").clone()
}

#[test]
fn readme_program_runs() {
    let controller = Controller::start(Config::new().listen("127.0.0.1:0".parse().unwrap())).unwrap();
    ADDRESS.set(format!("plum://{}", controller.address())).unwrap();
    let (http, port) = listener();
    std::thread::spawn(move || http.incoming().flatten().for_each(|connection| drop(answer(&connection))));
    let (_tcp, mail_port) = listener();

    let plum = Client::new(&address()).unwrap();
    let on_loopback = |service, port| Instance::new(service, port).host("127.0.0.1");
    let _orders = plum.register(on_loopback("orders", port)).unwrap();
    let _mail = plum.register(on_loopback("mail", mail_port).protocol("tcp")).unwrap();

    program::main().unwrap();
}

/// Answers one request and closes.
fn answer(connection: &TcpStream) -> std::io::Result<()> {
    let (mut reader, mut length, mut line) = (BufReader::new(connection), 0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some((_, value)) = line.to_ascii_lowercase().split_once("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    (&mut &*connection)
        .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\n{\"id\":7}")
}
