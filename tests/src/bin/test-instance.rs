//! An instance to be stopped or killed: `test-instance` answers 200 to every GET and prints where it listens.
//!
//! Each answer takes 2 ms, as a real one would: among answers of microseconds one hiccup of the machine would keep
//! the default balancer away from an instance for longer than a test wants to wait.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("an address"));
    std::io::stdout().flush().expect("a reader");
    for connection in listener.incoming().map_while(Result::ok) {
        std::thread::spawn(move || serve(&connection));
    }
}

/// Answers until the connection ends.
fn serve(mut connection: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection).lines();
    while let Some(line) = lines.next().transpose()? {
        // A request without a body ends at its first empty line.
        if line.is_empty() {
            std::thread::sleep(Duration::from_millis(2));
            connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }
    Ok(())
}
