//! The demo's processes; whatever happens, none outlives it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::{env, io};

use rustix::process::{Pid, Signal, kill_process};

/// A port that nobody listens at now.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The registry, with its store in memory.
pub struct Controller {
    port: u16,
    child: Child,
}

impl Controller {
    /// Starts it, and waits until it listens.
    pub fn start(port: u16) -> io::Result<Controller> {
        Ok(Controller { port, child: listening(port)? })
    }

    /// What clients are given.
    pub fn address(&self) -> String {
        format!("plum://127.0.0.1:{}", self.port)
    }

    /// Ends it; what it knew is gone.
    pub fn stop(&mut self) -> io::Result<()> {
        signal(&self.child, Signal::TERM)?;
        self.child.wait().map(drop)
    }

    /// Starts it again at the same port, empty.
    pub fn start_again(&mut self) -> io::Result<()> {
        self.child = listening(self.port)?;
        Ok(())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn listening(port: u16) -> io::Result<Child> {
    let mut child = Command::new(beside_us("plumline"))
        .args(["controller", "--listen", &format!("127.0.0.1:{port}")])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut line)?;
    }
    if line.is_empty() {
        return Err(io::Error::other("the controller ended before it listened"));
    }
    Ok(child)
}

/// One instance of the service.
pub struct Orders {
    pub port: u16,
    language: &'static str,
    child: Child,
}

impl Orders {
    /// The one in Rust.
    pub fn rust(registry: &str, port: u16) -> io::Result<Orders> {
        let mut command = Command::new(beside_us("demo-orders"));
        Orders::spawn(&mut command, "rust", registry, port)
    }

    /// The one in Python.
    pub fn python(registry: &str, port: u16) -> io::Result<Orders> {
        let mut command = Command::new(python());
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/orders.py"));
        Orders::spawn(&mut command, "python", registry, port)
    }

    fn spawn(command: &mut Command, language: &'static str, registry: &str, port: u16) -> io::Result<Orders> {
        let child =
            command.args([registry, &port.to_string()]).stdout(Stdio::null()).spawn().map_err(|error| {
                io::Error::other(format!("cannot start the {language} instance: {error}"))
            })?;
        Ok(Orders { port, language, child })
    }

    /// An error if it has ended.
    pub fn check(&mut self) -> io::Result<()> {
        match self.child.try_wait()? {
            Some(status) => Err(io::Error::other(format!("the instance {} ended: {status}", self.name()))),
            None => Ok(()),
        }
    }

    /// What the report calls it.
    pub fn name(&self) -> String {
        format!("{}:{}", self.language, self.port)
    }

    /// Kills it, without a chance to say goodbye.
    pub fn kill(&mut self) -> io::Result<()> {
        signal(&self.child, Signal::KILL)?;
        self.child.wait().map(drop)
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn signal(child: &Child, signal: Signal) -> io::Result<()> {
    Ok(kill_process(Pid::from_child(child), signal)?)
}

fn end(child: &mut Child) {
    // One that has ended already needs no ending.
    let _ = child.kill();
    let _ = child.wait();
}

/// A program of ours: in the same folder as this one.
fn beside_us(name: &str) -> PathBuf {
    env::current_exe().map_or_else(|_| name.into(), |path| path.with_file_name(name))
}

/// The Python that `make build` made.
fn python() -> PathBuf {
    let made = concat!(env!("CARGO_MANIFEST_DIR"), "/../.venv/bin/python");
    env::var_os("PLUMLINE_PYTHON").map_or_else(|| made.into(), PathBuf::from)
}
