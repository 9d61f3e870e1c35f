//! A port that stays ours while nobody listens on it, so that nothing else on the machine can get in between.

use std::io::Result;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};

const BACKLOG: i32 = 1_024;

/// A bound port.
pub struct Port {
    address: SocketAddr,
    /// Bound and not listening: who connects is refused. It also keeps the port while there is a listener.
    _kept: OwnedFd,
}

impl Port {
    /// Takes a free one.
    pub fn take() -> Result<Port> {
        let kept = bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = rustix::net::getsockname(&kept)?;
        let address = SocketAddr::try_from(address)?;
        Ok(Port { address, _kept: kept })
    }

    /// Takes this one.
    pub fn at(port: u16) -> Result<Port> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // Sharing would not be refused, whoever keeps it: one that shares nothing is told whether it is free.
        bind(&socket()?, &address)?;
        Ok(Port { address, _kept: bound(address)? })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens there.
    pub fn listen(&self) -> Result<TcpListener> {
        self.listen_with(BACKLOG)
    }

    /// Listens there with a queue of this length.
    pub fn listen_with(&self, backlog: i32) -> Result<TcpListener> {
        let socket = bound(self.address)?;
        listen(&socket, backlog)?;
        Ok(TcpListener::from(socket))
    }
}

fn socket() -> Result<OwnedFd> {
    Ok(socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

fn bound(address: SocketAddr) -> Result<OwnedFd> {
    let socket = socket()?;
    // Both: the port is shared with its keeper, and taken again while old connections linger.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn port_refuses_connections_unless_listening() {
        let port = Port::take().unwrap();
        assert!(TcpStream::connect(port.address()).is_err());
        let listener = port.listen().unwrap();
        let connection = TcpStream::connect(port.address()).unwrap();
        listener.accept().unwrap();
        drop((listener, connection));
        assert!(TcpStream::connect(port.address()).is_err());
        assert!(port.listen().is_ok());
    }

    #[test]
    fn reserved_port_is_not_reserved_twice() {
        let kept = Port::take().unwrap();
        assert!(Port::at(kept.address().port()).is_err(), "nobody listens there yet");
        let listener = kept.listen().unwrap();
        assert!(Port::at(kept.address().port()).is_err());
        drop((kept, listener));
    }
}
