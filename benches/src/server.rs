//! The server that calls are measured against: one thread, epoll, answers 100 bytes of JSON to whatever is asked.
//!
//! It does as little as a server can, so that the floor of every measurement is the socket's and not a framework's.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// 100 bytes.
pub const BODY: &str = r#"{"id":7,"name":"a plum","price":1.25,"stock":120,"tags":["fruit","blue"],"note":"0123456789012345678"}"#;

/// Serves for ever at 127.0.0.1, .2, … (all of them this machine); says its port on stdout.
pub fn serve(cpu: Option<usize>, addresses: u32) -> std::io::Result<()> {
    cpu.map_or(Ok(()), crate::pin_to)?;
    let mut listeners = vec![TcpListener::bind("127.0.0.1:0")?];
    let port = listeners[0].local_addr()?.port();
    for number in 2..=addresses {
        listeners.push(TcpListener::bind((Ipv4Addr::from(0x7f00_0000 + number), port))?);
    }
    println!("{port}");
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut accepting: HashMap<u64, TcpListener> = HashMap::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let id = listener.as_raw_fd() as u64;
        epoll::add(&poll, &listener, EventData::new_u64(id), EventFlags::IN)?;
        accepting.insert(id, listener);
    }
    let mut connections: HashMap<u64, TcpStream> = HashMap::new();
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        epoll::wait(&poll, rustix::buffer::spare_capacity(&mut events), None)?;
        for event in &events {
            let id = event.data.u64();
            match accepting.get(&id) {
                Some(listener) => accept(listener, &poll, &mut connections)?,
                None => answer_one(id, answer.as_bytes(), &mut connections),
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &rustix::fd::OwnedFd,
    connections: &mut HashMap<u64, TcpStream>,
) -> std::io::Result<()> {
    while let Ok((connection, _)) = listener.accept() {
        connection.set_nonblocking(true)?;
        connection.set_nodelay(true)?;
        let id = connection.as_raw_fd() as u64;
        epoll::add(poll, &connection, EventData::new_u64(id), EventFlags::IN)?;
        connections.insert(id, connection);
    }
    Ok(())
}

/// Requests here are small and never pipelined: one read holds one request.
fn answer_one(id: u64, answer: &[u8], connections: &mut HashMap<u64, TcpStream>) {
    let Some(connection) = connections.get_mut(&id) else { return };
    let mut request = [0u8; 16 << 10];
    let alive = match connection.read(&mut request) {
        Ok(0) => false,
        Ok(_) => connection.write_all(answer).is_ok(),
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    };
    if !alive {
        connections.remove(&id);
    }
}
