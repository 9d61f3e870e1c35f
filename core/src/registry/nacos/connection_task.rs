//! The task that maintains the one connection: connects, answers the server, detects its failure, moves to another server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::client::{ConnectionState, NacosClient};
use super::connection::{self, KEEP_ALIVE, NacosConnection, PushStream};
use super::message::{self, ServerRequest};
use super::proto::Payload;
use super::registrations;
use crate::clock;
use crate::error::{Error, Kind, Result};
use crate::registry::address::HostPort;
use crate::registry::async_bridge::catch_panic;
use crate::registry::reconnect::ReconnectBackoff;

/// If the server moves us away from a younger connection, the client backs off as after a failure.
const MIN_AGE: Duration = Duration::from_secs(5);

/// How a connection ended.
enum ConnectionEnd {
    /// It broke, or the server stopped answering.
    Lost(Error),
    /// The server asked us to move: to this server, or to any other.
    Moved(Option<HostPort>),
}

/// Maintains a connection until the future is dropped. Restarts after a panic: without a connection nothing is registered
/// or watched.
pub(super) async fn run(client: Arc<NacosClient>) {
    let mut reconnect = ReconnectBackoff::default();
    let mut epoch = 0;
    while catch_panic(maintain(&client, &mut epoch)).await.is_none() {
        let error = Error::new(Kind::Internal, "the Nacos connection task panicked; please report it");
        tracing::error!(source = %client.source, %error, "restarting the Nacos connection task");
        if let ConnectionState::Connected(connection) =
            client.state.send_replace(ConnectionState::Failed(error.clone()))
        {
            connection.mark_broken(error);
        }
        sleep(reconnect.failed(client.registrations.ttl(), fastrand::f64())).await;
    }
}

async fn maintain(client: &Arc<NacosClient>, epoch: &mut u64) {
    let mut reconnect = ReconnectBackoff::default();
    loop {
        match connect(client, epoch).await {
            Ok((connection, pushes)) => {
                reconnect.succeeded();
                let since = clock::now();
                client.state.send_replace(ConnectionState::Connected(connection.clone()));
                let register_again =
                    tokio::spawn(registrations::register_again(client.clone(), connection.clone()));
                let end = serve(client, &connection, pushes).await;
                register_again.abort();
                let is_young = clock::now().since(since) < MIN_AGE;
                match end {
                    ConnectionEnd::Moved(target) => {
                        connection.mark_broken(Error::new(
                            Kind::Unavailable,
                            format!("{} asked the client to move to another server", connection.label()),
                        ));
                        select_target(client, target);
                        if !is_young {
                            client.state.send_replace(ConnectionState::Connecting);
                            continue;
                        }
                        let error = Error::new(
                            Kind::Unavailable,
                            format!(
                                "{} keeps asking the client to move to another server",
                                connection.label()
                            ),
                        );
                        client.state.send_replace(ConnectionState::Failed(error));
                    }
                    ConnectionEnd::Lost(error) => {
                        connection.mark_broken(error.clone());
                        client.select_next();
                        client.state.send_replace(ConnectionState::Failed(error));
                    }
                }
            }
            Err(error) => {
                client.state.send_replace(ConnectionState::Failed(error));
            }
        }
        sleep(reconnect.failed(client.registrations.ttl(), fastrand::f64())).await;
    }
}

fn select_target(client: &NacosClient, target: Option<HostPort>) {
    match target.map(|target| client.select(&target)) {
        Some(Ok(())) => {}
        Some(Err(error)) => {
            tracing::debug!(source = %client.source, %error, "the server named an invalid server to move to");
            client.select_next();
        }
        None => client.select_next(),
    }
}

/// Tries every server once.
async fn connect(client: &NacosClient, epoch: &mut u64) -> Result<(Arc<NacosConnection>, PushStream)> {
    let mut outcome = Err(Error::new(Kind::Internal, "no server"));
    for _ in 0..client.server_count() {
        *epoch += 1;
        let server = client.server();
        outcome = async {
            let opened = connection::open(&server.grpc, &client.scope.namespace, *epoch).await?;
            client.log_in().await?;
            Ok(opened)
        }
        .await;
        match &outcome {
            // Another server would reject the credentials as well.
            Err(error) if error.kind() != Kind::Unauthenticated => client.select_next(),
            _ => break,
        }
    }
    outcome
}

/// Serves a connection until it ends.
async fn serve(client: &NacosClient, connection: &NacosConnection, pushes: PushStream) -> ConnectionEnd {
    tokio::select! {
        end = receive_requests(client, connection, pushes) => end,
        error = check_health(connection) => ConnectionEnd::Lost(error),
        error = connection.wait_broken() => ConnectionEnd::Lost(error),
        () = client.renew() => unreachable!("this future never ends"),
    }
}

/// Sends a health check whenever the server has been silent for long.
async fn check_health(connection: &NacosConnection) -> Error {
    loop {
        let quiet_until = connection.last_received().after(KEEP_ALIVE);
        let left = quiet_until.remaining(clock::now());
        let has_timed_out = tokio::select! {
            () = sleep(left) => false,
            () = connection.response_timed_out.notified() => true,
        };
        let was_quiet = quiet_until == connection.last_received().after(KEEP_ALIVE);
        if let Err(error) = if has_timed_out || was_quiet { connection.check().await } else { Ok(()) } {
            return error;
        }
    }
}

/// Receives the requests of the server, and answers them.
async fn receive_requests(
    client: &NacosClient,
    connection: &NacosConnection,
    pushes: PushStream,
) -> ConnectionEnd {
    let ended = |what: &str| {
        ConnectionEnd::Lost(Error::new(Kind::Unavailable, format!("{}: {what}", connection.label())))
    };
    let mut stream = match pushes.await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return ConnectionEnd::Lost(connection.error_for(&status)),
        Err(_) => return ended("the stream could not be opened"),
    };
    loop {
        match stream.message().await {
            Ok(Some(payload)) => {
                connection.mark_alive();
                if let Some(end) = answer_request(client, connection, &payload) {
                    return end;
                }
            }
            Ok(None) => return ended("the server ended the connection"),
            Err(status) => return ConnectionEnd::Lost(connection.error_for(&status)),
        }
    }
}

/// Answers one request of the server.
fn answer_request(
    client: &NacosClient,
    connection: &NacosConnection,
    payload: &Payload,
) -> Option<ConnectionEnd> {
    let request: ServerRequest = match message::read(payload, connection.label()) {
        Ok(request) => request,
        Err(error) => {
            tracing::warn!(source = %client.source, %error, "ignored a malformed request of the server");
            return None;
        }
    };
    let respond = |kind| {
        if let Some(id) = &request.request_id {
            connection.send(&message::response(kind, id));
        }
    };
    match message::kind_of(payload) {
        "NotifySubscriberRequest" => {
            respond("NotifySubscriberResponse");
            if let Some(info) = &request.service_info {
                client.forward_push(info);
            }
        }
        "ClientDetectionRequest" => respond("ClientDetectionResponse"),
        "ConnectResetRequest" => {
            respond("ConnectResetResponse");
            return Some(ConnectionEnd::Moved(target_of(&request)));
        }
        // It needs no response.
        "SetupAckRequest" => {}
        other => {
            tracing::debug!(source = %client.source, kind = other, "ignored an unknown request of the server");
        }
    }
    None
}

/// The server to move to; `None` if the request names none.
fn target_of(request: &ServerRequest) -> Option<HostPort> {
    let host = request.server_ip.clone().filter(|host| !host.is_empty())?;
    let port = match &request.server_port {
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
