//! Toxiproxy: a path between client and server that can be cut, or swallow what is sent.

use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use plumline_tests::{ask, until};
use serde_json::{Value, json};

use crate::{Running, free_port, program, run};

/// One process with any number of paths, each named by the port at which it begins.
pub struct Toxiproxy {
    _running: Running,
    port: u16,
}

/// The program, had if need be.
pub fn toxiproxy() -> PathBuf {
    program("toxiproxy-2.12.0", "toxiproxy", |folder| {
        let go = |arguments: &[&str]| run(Command::new("go").current_dir(folder).args(arguments));
        std::fs::write(folder.join("go.mod"), "module servers\n\ngo 1.22\n").unwrap();
        go(&["get", "-tool", "github.com/Shopify/toxiproxy/v2/cmd/server@v2.12.0"]);
        go(&["build", "-o", "toxiproxy", "github.com/Shopify/toxiproxy/v2/cmd/server"]);
    })
}

impl Toxiproxy {
    /// Starts one.
    pub fn start() -> Toxiproxy {
        let port = free_port();
        let mut command = Command::new(toxiproxy());
        command
            .args(["-host", "127.0.0.1", "-port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let running = Running(command.spawn().unwrap());
        until("toxiproxy answers", Duration::from_secs(10), || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Toxiproxy { _running: running, port }
    }

    /// A path to a port of this machine; the port at which it begins.
    pub fn towards(&self, target: u16) -> u16 {
        let port = free_port();
        self.between(port, target);
        port
    }

    /// A path from one port of this machine to another.
    pub fn between(&self, port: u16, target: u16) {
        let path = json!({"name": port.to_string(), "listen": format!("127.0.0.1:{port}"),
                          "upstream": format!("127.0.0.1:{target}"), "enabled": true});
        self.call("POST", "/proxies", &path);
    }

    /// Breaks what is connected, and refuses what would.
    pub fn cut(&self, path: u16) {
        self.call("POST", &format!("/proxies/{path}"), &json!({"enabled": false}));
    }

    /// Lets nothing through any more, in either direction, and closes nothing.
    pub fn swallow(&self, path: u16) {
        for stream in ["upstream", "downstream"] {
            let toxic =
                json!({"name": stream, "type": "timeout", "stream": stream, "attributes": {"timeout": 0}});
            self.call("POST", &format!("/proxies/{path}/toxics"), &toxic);
        }
    }

    /// All is well again.
    pub fn heal(&self, _path: u16) {
        // Without a body: one that is not read turns the farewell into a reset.
        self.tell("POST", "/reset", "");
    }

    fn call(&self, method: &str, path: &str, body: &Value) {
        self.tell(method, path, &body.to_string());
    }

    fn tell(&self, method: &str, path: &str, body: &str) {
        let place: SocketAddr = ([127, 0, 0, 1], self.port).into();
        let (status, answer) = ask(place, method, path, body);
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
    }
}
