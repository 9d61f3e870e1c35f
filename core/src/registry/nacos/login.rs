//! The access token of a user: requested over HTTP, renewed before it expires, and requested again when it is rejected.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::oneshot;

use super::client::NacosClient;
use crate::clock::{self, Tick};
use crate::error::{Error, Kind, Result};
use crate::interrupt::Never;
use crate::registry::address::Credentials;
use crate::registry::http_host::{self, HttpHost, HttpRequest, escape};
use crate::registry::types::WaitLimit;
use crate::runtime::Priority;
use crate::transport::Answer;

/// The login endpoints: up to 2.x, and from 3.x on.
const LOGIN_PATHS: [&str; 2] = ["/nacos/v1/auth/login", "/nacos/v3/auth/user/login"];
/// A rejection this soon after a login is not caused by the token.
const MIN_TOKEN_AGE: Duration = Duration::from_secs(2);
/// When a failed renewal is retried.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// An access token.
#[derive(Clone)]
pub(super) struct AccessToken {
    pub(super) text: Arc<str>,
    since: Tick,
    renew_at: Tick,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoginResponse {
    access_token: String,
    /// In seconds.
    #[serde(default)]
    token_ttl: u64,
}

impl NacosClient {
    /// The token to send; `None` without a login.
    pub(super) fn token(&self) -> Option<Arc<str>> {
        self.token.lock().as_ref().map(|token| token.text.clone())
    }

    /// Logs in if there is a user and no valid token.
    pub(super) async fn log_in(&self) -> Result<()> {
        let is_due = |token: &AccessToken| token.renew_at <= clock::now();
        if self.user.is_none() || self.token.lock().as_ref().is_some_and(|token| !is_due(token)) {
            return Ok(());
        }
        self.fetch(None).await
    }

    /// Requests a new token after one was rejected. False if a new one cannot help.
    pub(super) async fn log_in_again(&self, rejected: Option<&str>) -> Result<bool> {
        if self.user.is_none() {
            return Ok(false);
        }
        let is_fresh = self.token.lock().as_ref().is_some_and(|token| {
            Some(&*token.text) == rejected && clock::now().since(token.since) < MIN_TOKEN_AGE
        });
        if is_fresh {
            return Ok(false);
        }
        self.fetch(rejected).await.map(|()| true)
    }

    /// Requests a token, unless another task has replaced `rejected` in the meantime.
    async fn fetch(&self, rejected: Option<&str>) -> Result<()> {
        let Some(user) = self.user.clone() else { return Ok(()) };
        let _turn = self.login_lock.lock().await;
        let known = self.token();
        if rejected.is_some() && known.is_some() && known.as_deref() != rejected {
            return Ok(());
        }
        let (sender, receiver) = oneshot::channel();
        let (host, resolver, timeout) = (self.server().host.clone(), self.resolver.clone(), self.timeout);
        self.setup.runtime.post(&self.logins, Priority::Heartbeat, move || {
            let outcome = log_in(&host, &user, &resolver, &WaitLimit::new(timeout, &Never));
            // The caller may have given up.
            let _ = sender.send(outcome);
        });
        let closed = || Error::new(Kind::Closed, "the client was closed");
        let logged_in = receiver.await.unwrap_or_else(|_| Err(closed()))?;
        let now = clock::now();
        let life = Duration::from_secs(logged_in.token_ttl.clamp(1, 1 << 30));
        let token = AccessToken {
            text: logged_in.access_token.into(),
            since: now,
            renew_at: now.after(life.mul_f64(0.9)),
        };
        *self.token.lock() = Some(token);
        Ok(())
    }

    /// Renews the token before it expires, until the future is dropped.
    pub(super) async fn renew(&self) {
        loop {
            let renew_at = self.token.lock().as_ref().map(|token| token.renew_at);
            let Some(renew_at) = renew_at else { return std::future::pending().await };
            tokio::time::sleep(renew_at.remaining(clock::now())).await;
            if let Err(error) = self.log_in().await {
                tracing::warn!(source = %self.source, %error, "renewing the access token failed; retrying");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Sends one login request.
fn log_in(
    host: &HttpHost,
    user: &Credentials,
    resolver: &crate::registry::resolver::Resolver,
    wait: &WaitLimit<'_>,
) -> Result<LoginResponse> {
    let form = format!("username={}&password={}", escape(&user.name), escape(&user.password));
    let mut response = None;
    for path in LOGIN_PATHS {
        let given = host.exchange(&HttpRequest::form(path, form.as_bytes()), None, resolver, wait)?;
        let is_elsewhere = matches!(given.status, 404 | 405 | 410 | 501);
        response = Some(given);
        if !is_elsewhere {
            break;
        }
    }
    read_login(host, &response.ok_or_else(|| Error::new(Kind::Internal, "no path"))?)
}

fn read_login(host: &HttpHost, response: &Answer) -> Result<LoginResponse> {
    match response.status {
        200 => http_host::read(response, &host.label()),
        // Nacos 3 answers 500 for a wrong password.
        401 | 403 | 500 => {
            let message = format!("{}: invalid user or password (status {})", host.label(), response.status);
            Err(Error::new(Kind::Unauthenticated, message))
        }
        status => {
            let kind = if status >= 502 || status == 429 { Kind::Unavailable } else { Kind::Protocol };
            Err(Error::new(kind, format!("{} answered the login with status {status}", host.label())))
        }
    }
}
