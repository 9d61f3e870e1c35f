//! `plumline call`: a request to a service by name, from a shell.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use base64::Engine;
use clap::Args;
use plumline::config::parse_duration;
use plumline::{Request, Response, TraceOutcome, TraceStep};
use serde_json::{Value, json};

use crate::failure::{self, Failure};
use crate::options::{Asking, Filters};
use crate::output;

#[derive(Debug, Args)]
#[command(
    override_usage = "plumline call [OPTIONS] [METHOD] SERVICE PATH",
    after_help = "Prints the body. Ends with 0 below 400, with 4 for a 4xx and with 5 for a 5xx answer; see plumline --help.

Examples:
  plumline call orders /items/7
  plumline call orders /items --json '{\"name\": \"tea\"}' --idempotent --timeout 2s
  plumline call DELETE orders /items/7 -i"
)]
pub(crate) struct Arguments {
    /// The service's name
    #[arg(value_name = "SERVICE")]
    first: String,
    /// The path, such as /items/7?full=true
    #[arg(value_name = "PATH")]
    second: String,
    /// The path, where the method comes first
    #[arg(hide = true)]
    third: Option<String>,
    /// The method; it may also stand before the service [default: GET, with a body POST]
    #[arg(short = 'X', long)]
    method: Option<String>,
    /// A header; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// Send this JSON; @FILE sends what is in the file, @- what comes on stdin
    #[arg(long, value_name = "JSON", conflicts_with = "data")]
    json: Option<String>,
    /// Send these bytes as they are; @FILE and @- as above
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,
    /// How long the whole call may take, such as 2s or 800ms
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// How many attempts may be made, the first included
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// The service may see it twice: a POST is then repeated elsewhere if need be
    #[arg(long)]
    idempotent: bool,
    /// Print status, endpoint, attempts and headers before the body
    #[arg(short, long, conflicts_with = "as_json")]
    include: bool,
    /// Print one JSON document with status, headers, endpoint, attempts, trace and body
    #[arg(long)]
    as_json: bool,
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    asking: Asking,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let request = arguments.request()?;
    let client = arguments.asking.client()?;
    let response = client.call(&request).inspect_err(|error| {
        if arguments.include {
            tell_story(error.trace());
        }
    })?;
    if arguments.as_json {
        output::print_json(&document(&response))?;
    } else {
        if arguments.include {
            output::print(&head(&response))?;
        }
        print_body(response.body())?;
    }
    verdict(response, arguments.include || arguments.as_json)
}

impl Arguments {
    fn request(&self) -> Result<Request, Failure> {
        let (method, service, path) = match &self.third {
            None => (None, &self.first, &self.second),
            Some(path) => (Some(&self.first), &self.second, path),
        };
        let method = match (method, &self.method) {
            (Some(_), Some(_)) => return Err(Failure::Usage("the method is given twice".into())),
            (Some(method), None) | (None, Some(method)) => method.to_ascii_uppercase(),
            (None, None) if self.json.is_some() || self.data.is_some() => "POST".to_owned(),
            (None, None) => "GET".to_owned(),
        };
        let request = Request::new(method, self.filters.of(service), path);
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        Ok(self.with_options(self.with_body(request)?))
    }

    fn with_body(&self, request: Request) -> Result<Request, Failure> {
        if let Some(json) = &self.json {
            let body = read_content(json)?;
            let read: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&body);
            read.map_err(|error| Failure::Usage(format!("the value of --json is no JSON: {error}")))?;
            return Ok(request.json_bytes(body));
        }
        match &self.data {
            Some(data) => Ok(request.body(read_content(data)?)),
            None => Ok(request),
        }
    }

    fn with_options(&self, mut request: Request) -> Request {
        if let Some(timeout) = self.timeout {
            request = request.timeout(timeout);
        }
        if let Some(attempts) = self.attempts {
            request = request.attempts(attempts);
        }
        if self.idempotent { request.idempotent(true) } else { request }
    }
}

/// The text itself, or what `@FILE` or `@-` names.
fn read_content(text: &str) -> Result<Vec<u8>, Failure> {
    let Some(place) = text.strip_prefix('@') else { return Ok(text.as_bytes().to_vec()) };
    let mut content = Vec::new();
    let read = match place {
        "-" => std::io::stdin().read_to_end(&mut content).map(drop),
        path => std::fs::read(path).map(|bytes| content = bytes),
    };
    read.map_err(|error| Failure::Failed(format!("cannot read {place:?}: {error}")))?;
    Ok(content)
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it like 'Accept: text/plain'")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn head(response: &Response) -> String {
    let endpoint = response.endpoint();
    let attempts = match response.attempts() {
        1 => "1 attempt".to_owned(),
        more => format!("{more} attempts"),
    };
    let millis = response.elapsed().as_secs_f64() * 1e3;
    let mut head = format!(
        "{} from {} ({}), {attempts}, {millis:.1} ms\n",
        response.status(),
        endpoint.address(),
        output::visible(&endpoint.instance_id),
    );
    // A refused connection is no attempt yet, but worth telling.
    if response.trace().len() > 1 {
        head.extend(response.trace().iter().map(|step| format!("  {step}\n")));
    }
    let headers = response.headers().iter();
    head.extend(headers.map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value))));
    head + "\n"
}

/// On a terminal the prompt begins on a line of its own; anywhere else the body is left as it is.
fn print_body(body: &[u8]) -> Result<(), Failure> {
    output::print_bytes(body)?;
    let open = body.last().is_some_and(|last| *last != b'\n');
    if open && std::io::stdout().is_terminal() { output::print("\n") } else { Ok(()) }
}

fn tell_story(trace: &[TraceStep]) {
    for step in trace {
        failure::say(&step.to_string());
    }
}

fn document(response: &Response) -> Value {
    let headers = response.headers().iter();
    let headers: Vec<_> = headers.map(|(name, value)| (name, String::from_utf8_lossy(value))).collect();
    let mut document = json!({
        "service": response.service(),
        "status": response.status(),
        "headers": headers,
        "endpoint": **response.endpoint(),
        "attempts": response.attempts(),
        "elapsed_ms": response.elapsed().as_secs_f64() * 1e3,
        "trace": response.trace().iter().map(step).collect::<Vec<_>>(),
    });
    // What is no text has its own key, so that nobody takes one for the other.
    if let Ok(text) = std::str::from_utf8(response.body()) {
        document["body"] = text.into();
    } else {
        let encoded = base64::engine::general_purpose::STANDARD.encode(response.body());
        document["body_base64"] = encoded.into();
    }
    document
}

fn step(step: &TraceStep) -> Value {
    let mut told =
        json!({ "address": step.endpoint.address(), "elapsed_ms": step.elapsed.as_secs_f64() * 1e3 });
    match &step.outcome {
        TraceOutcome::Status(status) => told["status"] = (*status).into(),
        TraceOutcome::Failed(kind, message) => {
            told["error"] = json!({ "kind": kind.name(), "message": message });
        }
    }
    told
}

/// The exit code of the answer, and a line about it unless the status was printed already.
fn verdict(response: Response, said: bool) -> Result<(), Failure> {
    let code = if response.status() < 500 { 4 } else { 5 };
    let Err(error) = response.error_for_status() else { return Ok(()) };
    Err(if said { Failure::Quiet(code) } else { Failure::Coded(code, error.to_string()) })
}
