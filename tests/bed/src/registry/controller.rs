//! Our own: the real controller, behind a door that can be shut: an outage keeps what it knows, a restart does not.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plumline_controller::{Config, Controller, TlsFiles};
use serde_json::{Value, json};

use super::{Registry, instance_id};
use crate::door::Door;
use crate::port::Port;
use crate::scenario::{ControllerScript, Known};
use crate::server::{Stream, read_answer};
use crate::tls::Authority;

/// A controller of a scenario.
pub struct Own {
    config: Config,
    controller: Controller,
    port: Port,
    door: Option<Door>,
    token: Option<String>,
    authority: Option<Arc<Authority>>,
}

impl Own {
    /// Starts one that cannot be reached yet; certificates go into the folder.
    pub fn start(
        script: &ControllerScript,
        authority: &Arc<Authority>,
        folder: &Path,
    ) -> Result<Own, String> {
        let in_words = |error: std::io::Error| format!("the controller did not start: {error}");
        let mut config = Config::new()
            .listen(SocketAddr::from(([127, 0, 0, 1], 0)))
            .threads(1)
            .service_ttl(Duration::from_millis(script.ttl.unwrap_or(15_000)));
        if let Some(token) = &script.token {
            config = config.token(token);
        }
        if script.tls {
            let files = TlsFiles { certificate: folder.join("server.pem"), key: folder.join("server.key") };
            let signed = authority.sign(&["127.0.0.1".into()])?;
            std::fs::write(&files.certificate, signed.certificate).map_err(in_words)?;
            std::fs::write(&files.key, signed.key).map_err(in_words)?;
            config = config.tls(files);
        }
        let controller = Controller::start(config.clone()).map_err(|error| error.to_string())?;
        Ok(Own {
            config,
            controller,
            port: Port::take().map_err(in_words)?,
            door: None,
            token: script.token.clone(),
            authority: script.tls.then(|| authority.clone()),
        })
    }

    /// One that nothing is said of.
    pub fn usual(authority: &Arc<Authority>, folder: &Path) -> Result<Own, String> {
        Own::start(&ControllerScript::default(), authority, folder)
    }

    fn open(&mut self, to: Option<SocketAddr>) -> Result<(), String> {
        self.down();
        let listener = self.port.listen().map_err(|error| format!("the controller's door: {error}"))?;
        self.door = Some(Door::open(listener, to));
        Ok(())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Vec<u8>, String> {
        let in_words = |error: std::io::Error| format!("asking the controller: {error}");
        let socket = TcpStream::connect(self.controller.address()).map_err(in_words)?;
        let mut stream: Box<dyn Stream> = match &self.authority {
            Some(authority) => Box::new(authority.connect(socket)?),
            None => Box::new(socket),
        };
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: bed\r\nConnection: close\r\n{}Content-Length: {}\r\n\r\n",
            token.unwrap_or_default(),
            body.len()
        );
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body.as_bytes()))
            .map_err(in_words)?;
        match read_answer(&mut *stream) {
            Some((status, body)) if status < 300 => Ok(body),
            answer => Err(format!("{method} {path}: the controller said {answer:?}")),
        }
    }
}

impl Registry for Own {
    fn address(&self) -> String {
        format!("plum://{}", self.port.address())
    }

    fn places(&self) -> Vec<SocketAddr> {
        vec![self.port.address()]
    }

    fn up(&mut self) -> Result<(), String> {
        self.open(Some(self.controller.address()))
    }

    fn hang(&mut self) -> Result<(), String> {
        self.open(None)
    }

    fn down(&mut self) {
        if let Some(door) = self.door.take() {
            door.shut();
        }
    }

    fn restart(&mut self) -> Result<(), String> {
        self.down();
        self.controller = Controller::start(self.config.clone()).map_err(|error| error.to_string())?;
        self.up()
    }

    /// Nobody beats for it.
    fn register(&mut self, known: &Known, at: SocketAddr) -> Result<(), String> {
        let body = json!({
            "instanceId": instance_id(known, at),
            "nodeId": "bed",
            "ip": at.ip().to_string(),
            "endpoints": [{
                "serviceName": known.service,
                "port": at.port(),
                "protocol": known.protocol.as_deref().unwrap_or("http"),
                "version": known.version,
                "labels": known.labels,
            }],
        });
        self.ask("POST", "/v1/services/register?replace=true", &body.to_string()).map(drop)
    }

    fn deregister(&mut self, known: &Known, at: SocketAddr) -> Result<(), String> {
        let path = format!("/v1/services?instanceId={}", instance_id(known, at));
        self.ask("DELETE", &path, "").map(drop)
    }

    fn listed(&self, service: &str) -> Result<Vec<SocketAddr>, String> {
        let body = self.ask("GET", &format!("/v1/discovery?service={service}"), "")?;
        let rows: Vec<Value> = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        let place = |row: &Value| {
            let place = format!("{}:{}", row["ip"].as_str().unwrap_or_default(), row["port"]);
            place.parse().map_err(|_| format!("the controller lists {place}"))
        };
        rows.iter().map(place).collect()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.down();
    }
}
