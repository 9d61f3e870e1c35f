//! The task that maintains the one connection: connects, answers the server, detects its failure, moves to another server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::book;
use super::hub::{Hub, State};
use super::link::{self, Inbox, KEEP_ALIVE, Link};
use super::message::{self, Asked};
use super::proto::Payload;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::registry::address::HostPort;
use crate::registry::async_bridge::catch_panic;
use crate::registry::reconnect::ReconnectBackoff;

/// If the server moves us away from a younger connection, the client backs off as after a failure.
const YOUNG: Duration = Duration::from_secs(5);

/// How a connection ended.
enum End {
    /// It broke, or the server stopped answering.
    Lost(Error),
    /// The server asked us to move: to this server, or to any other.
    Moved(Option<HostPort>),
}

/// Maintains a connection until the future is dropped. Restarts after a panic: without a connection nothing is registered
/// or watched.
pub(super) async fn keep(hub: Arc<Hub>) {
    let mut reconnect = ReconnectBackoff::default();
    let mut epoch = 0;
    while catch_panic(keep_on(&hub, &mut epoch)).await.is_none() {
        let error = Error::new(Kind::Internal, "the Nacos connection task panicked; please report it");
        tracing::error!(source = %hub.source, %error, "restarting the Nacos connection task");
        if let State::Up(link) = hub.state.send_replace(State::Down(error.clone())) {
            link.lose(error);
        }
        sleep(reconnect.failed(hub.book.ttl(), fastrand::f64())).await;
    }
}

async fn keep_on(hub: &Arc<Hub>, epoch: &mut u64) {
    let mut reconnect = ReconnectBackoff::default();
    loop {
        match connect(hub, epoch).await {
            Ok((link, inbox)) => {
                reconnect.succeeded();
                let since = clock::now();
                hub.state.send_replace(State::Up(link.clone()));
                let redo = tokio::spawn(book::redo(hub.clone(), link.clone()));
                let end = follow(hub, &link, inbox).await;
                redo.abort();
                let was_young = clock::now().since(since) < YOUNG;
                match end {
                    End::Moved(target) => {
                        link.lose(Error::new(
                            Kind::Unavailable,
                            format!("{} closed the connection for load balancing", link.label()),
                        ));
                        move_on(hub, target);
                        if !was_young {
                            hub.state.send_replace(State::Opening);
                            continue;
                        }
                        let error = Error::new(
                            Kind::Unavailable,
                            format!("{} keeps closing connections for load balancing", link.label()),
                        );
                        hub.state.send_replace(State::Down(error));
                    }
                    End::Lost(error) => {
                        link.lose(error.clone());
                        hub.turn_on();
                        hub.state.send_replace(State::Down(error));
                    }
                }
            }
            Err(error) => {
                hub.state.send_replace(State::Down(error));
            }
        }
        sleep(reconnect.failed(hub.book.ttl(), fastrand::f64())).await;
    }
}

fn move_on(hub: &Hub, target: Option<HostPort>) {
    match target.map(|target| hub.turn_to(&target)) {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            tracing::debug!(source = %hub.source, %error, "the server named an invalid server to move to");
            hub.turn_on();
        }
        None => hub.turn_on(),
    }
}

/// Tries every server once.
async fn connect(hub: &Hub, epoch: &mut u64) -> Result<(Arc<Link>, Inbox)> {
    let mut outcome = Err(Error::new(Kind::Internal, "no server"));
    for _ in 0..hub.count() {
        *epoch += 1;
        let site = hub.site();
        outcome = async {
            let opened = link::open(&site.door, &hub.space.namespace, *epoch).await?;
            hub.log_in().await?;
            Ok(opened)
        }
        .await;
        match &outcome {
            // Another server would reject the credentials as well.
            Err(error) if error.kind() != Kind::Unauthenticated => hub.turn_on(),
            _ => break,
        }
    }
    outcome
}

/// Serves a connection until it ends.
async fn follow(hub: &Hub, link: &Link, inbox: Inbox) -> End {
    tokio::select! {
        end = listen(hub, link, inbox) => end,
        error = stay_awake(link) => End::Lost(error),
        error = link.gone() => End::Lost(error),
        () = hub.renew() => unreachable!("this future never ends"),
    }
}

/// Sends a health check whenever the server has been silent for long.
async fn stay_awake(link: &Link) -> Error {
    loop {
        let quiet_until = link.heard_at().after(KEEP_ALIVE);
        let left = quiet_until.remaining(clock::now());
        let is_doubted = tokio::select! {
            () = sleep(left) => false,
            () = link.doubt.notified() => true,
        };
        let was_quiet = quiet_until == link.heard_at().after(KEEP_ALIVE);
        if let Err(error) = if is_doubted || was_quiet { link.check().await } else { Ok(()) } {
            return error;
        }
    }
}

/// Receives the requests of the server, and answers them.
async fn listen(hub: &Hub, link: &Link, inbox: Inbox) -> End {
    let ended = |what: &str| End::Lost(Error::new(Kind::Unavailable, format!("{}: {what}", link.label())));
    let mut stream = match inbox.await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return End::Lost(link.broken(&status)),
        Err(_) => return ended("the stream could not be opened"),
    };
    loop {
        match stream.message().await {
            Ok(Some(payload)) => {
                link.heard();
                if let Some(end) = answer(hub, link, &payload) {
                    return end;
                }
            }
            Ok(None) => return ended("the server ended the connection"),
            Err(status) => return End::Lost(link.broken(&status)),
        }
    }
}

/// Answers one request of the server.
fn answer(hub: &Hub, link: &Link, payload: &Payload) -> Option<End> {
    let asked: Asked = match message::read(payload, link.label()) {
        Ok(asked) => asked,
        Err(error) => {
            tracing::warn!(source = %hub.source, %error, "ignored a malformed request of the server");
            return None;
        }
    };
    let answered = |kind| {
        if let Some(id) = &asked.request_id {
            link.say(&message::answer(kind, id));
        }
    };
    match message::kind_of(payload) {
        "NotifySubscriberRequest" => {
            answered("NotifySubscriberResponse");
            if let Some(info) = &asked.service_info {
                hub.pushed(info);
            }
        }
        "ClientDetectionRequest" => answered("ClientDetectionResponse"),
        "ConnectResetRequest" => {
            answered("ConnectResetResponse");
            return Some(End::Moved(target_of(&asked)));
        }
        // It needs no response.
        "SetupAckRequest" => {}
        other => {
            tracing::debug!(source = %hub.source, kind = other, "ignored an unknown request of the server")
        }
    }
    None
}

/// The server to move to; `None` if the request names none.
fn target_of(asked: &Asked) -> Option<HostPort> {
    let host = asked.server_ip.clone().filter(|host| !host.is_empty())?;
    let port = match &asked.server_port {
        serde_json::Value::String(port) => port.trim().parse().ok(),
        port => port.as_u64().and_then(|port| u16::try_from(port).ok()),
    };
    Some(HostPort { host, port: port.filter(|port| *port != 0)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_server_to_move_to() {
        let to =
            |json: &str| target_of(&serde_json::from_str(json).unwrap()).map(|target| target.to_string());
        assert_eq!(to(r#"{"serverIp": "10.0.0.2", "serverPort": "8848"}"#).unwrap(), "10.0.0.2:8848");
        assert_eq!(to(r#"{"serverIp": "10.0.0.2", "serverPort": 8848}"#).unwrap(), "10.0.0.2:8848");
        for nowhere in [
            r#"{"requestId": "1"}"#,
            r#"{"serverIp": "", "serverPort": "8848"}"#,
            r#"{"serverIp": null, "serverPort": null}"#,
            r#"{"serverIp": "10.0.0.2", "serverPort": "0"}"#,
        ] {
            assert_eq!(to(nowhere), None);
        }
    }
}
