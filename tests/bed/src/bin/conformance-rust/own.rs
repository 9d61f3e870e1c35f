//! A user's own code inside a client: hooks, a balancer, a stub; each notes what it was asked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use plumline::balance::{Balancer, Context};
use plumline::membership::View;
use plumline::{Answer, Bounds, Client, ClientBuilder, Endpoint, Error, Failure, Kind, Outgoing, Transport};
use serde_json::{Value, json};

thread_local! {
    /// Whether this thread is doing an operation.
    pub static IS_CALLER: Cell<bool> = const { Cell::new(false) };
    /// What a balancer raised, which has no way to say so.
    pub static BALANCER_RAISED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The runner's own error.
#[derive(Debug)]
pub struct Raised(pub String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn raise(text: &str) -> Error {
    Error::new(Kind::Internal, text).caused_by(Raised(text.to_owned()))
}

/// What a client's own code noted, and the client, for hooks that close it.
#[derive(Clone, Default)]
pub struct Notes {
    pub list: Arc<Mutex<Vec<Value>>>,
    pub client: Arc<Mutex<Option<Client>>>,
}

impl Notes {
    fn note(&self, mut what: Value) {
        what["on_caller"] = IS_CALLER.get().into();
        self.list.lock().unwrap().push(what);
    }

    /// What hooks do beside noting.
    fn act(&self, script: &Value) -> Result<(), Error> {
        let close = || {
            let client = self.client.lock().unwrap().clone();
            client.iter().for_each(Client::close);
        };
        match script["raise"].as_str() {
            Some(text) => Err(raise(text)),
            None if script["close"] == true => {
                close();
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Puts the user's own code that an operation asks for into a client.
pub fn build(mut builder: ClientBuilder, operation: &Value, notes: &Notes) -> ClientBuilder {
    let script = |name: &str| operation.get(name).cloned();
    if let Some(script) = script("on_request") {
        let notes = notes.clone();
        builder = builder.on_request(move |request, endpoint| on_request(&script, &notes, request, endpoint));
    }
    if let Some(script) = script("on_response") {
        let notes = notes.clone();
        builder = builder.on_response(move |request, endpoint, sent| {
            let (key, came) = match sent {
                Ok(answer) => ("status", json!(answer.status)),
                Err(failure) => ("kind", json!(failure.kind().number())),
            };
            let endpoint = endpoint.address();
            notes.note(
                json!({"by": "on_response", "attempt": request.attempt, "endpoint": endpoint, key: came}),
            );
            notes.act(&script)
        });
    }
    if let Some(script) = script("balancer") {
        builder = builder.balancer(Own { script, notes: notes.clone() });
    }
    if let Some(script) = script("transport") {
        builder = builder.transport(Stub { script, notes: notes.clone(), given: Mutex::default() });
    }
    builder
}

fn on_request(
    script: &Value,
    notes: &Notes,
    request: &mut Outgoing,
    endpoint: &Endpoint,
) -> Result<(), Error> {
    notes.note(json!({
        "by": "on_request", "method": request.method, "service": request.service, "path": request.path,
        "attempt": request.attempt, "endpoint": endpoint.address(),
    }));
    for pair in script["set_headers"].as_array().into_iter().flatten() {
        let text = |index: usize| pair[index].as_str().unwrap_or_default();
        request.set_header(text(0), &text(1).replace("{attempt}", &request.attempt.to_string()))?;
    }
    notes.act(script)
}

struct Own {
    script: Value,
    notes: Notes,
}

impl Balancer for Own {
    fn choose(&self, view: &View, context: &mut Context<'_>) -> Option<usize> {
        let addresses: Vec<String> =
            view.candidates().iter().map(|slot| slot.member.endpoint.address()).collect();
        let tried: Vec<bool> = (0..view.len()).map(|index| context.has_tried(view, index)).collect();
        self.notes.note(json!({"by": "balancer", "endpoints": addresses, "tried": tried}));
        match self.script.as_str() {
            Some("first") => Some(0),
            Some("last") => Some(view.len() - 1),
            Some(_) => Some(view.len()),
            None => {
                BALANCER_RAISED.set(self.script["raise"].as_str().map(str::to_owned));
                None
            }
        }
    }
}

struct Stub {
    script: Value,
    notes: Notes,
    given: Mutex<HashMap<String, usize>>,
}

impl Transport for Stub {
    fn send(&self, request: &Outgoing, endpoint: &Endpoint, _: &Bounds<'_>) -> Result<Answer, Failure> {
        self.notes.note(json!({
            "by": "transport", "method": request.method, "path": request.path, "attempt": request.attempt,
            "endpoint": endpoint.address(),
        }));
        let host = if self.script.get(&endpoint.host).is_some() { &endpoint.host } else { "*" };
        let answers = self.script[host].as_array().map(Vec::as_slice).unwrap_or_default();
        let turn = {
            let mut given = self.given.lock().unwrap();
            let turn = given.entry(host.to_owned()).or_default();
            *turn += 1;
            *turn - 1
        };
        let answer = answers.get(turn).or(answers.last()).unwrap_or(&Value::Null);
        match (answer["fail"].as_str(), answer["raise"].as_str()) {
            (Some("refused"), _) => Err(Failure::Refused("played".into())),
            (Some("reset"), _) => Err(Failure::Reset("played".into())),
            (Some(_), _) => Err(Failure::Timeout),
            (None, Some(text)) => Err(Failure::Interrupted(raise(text))),
            (None, None) => Ok(played(answer)),
        }
    }
}

fn played(answer: &Value) -> Answer {
    let pairs = answer["headers"].as_array().into_iter().flatten();
    let headers =
        pairs.map(|pair| (pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap_or_default()));
    let status = answer["status"].as_u64().unwrap_or(200) as u16;
    Answer::new(status, headers.collect(), answer["body"].as_str().unwrap_or_default())
}
