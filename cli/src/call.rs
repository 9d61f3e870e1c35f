//! `plumline call`: sends a request to a service by name.

use std::io::{IsTerminal, Read};
use std::time::Duration;

use base64::Engine;
use clap::Args;
use plumline::config::parse_duration;
use plumline::{Request, Response, TraceOutcome, TraceStep};
use serde_json::{Value, json};

use crate::failure::{self, Failure};
use crate::options::{FilterOptions, RegistryOptions};
use crate::output;

#[derive(Debug, Args)]
#[command(
    override_usage = "plumline call [OPTIONS] [METHOD] SERVICE PATH",
    after_help = "Prints the body. Ends with 0 below 400, with 4 for a 4xx and with 5 for a 5xx response; see plumline --help.

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
    /// The path, if the method is the first argument
    #[arg(hide = true)]
    third: Option<String>,
    /// The method; it may also be given before the service [default: GET, with a body POST]
    #[arg(short = 'X', long)]
    method: Option<String>,
    /// A header; may be given several times
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// Send this JSON; @FILE reads it from a file, @- from stdin
    #[arg(long, value_name = "JSON", conflicts_with = "data")]
    json: Option<String>,
    /// Send these bytes unchanged; @FILE reads them from a file, @- from stdin
    #[arg(short, long, value_name = "TEXT")]
    data: Option<String>,
    /// How long the whole call may take, such as 2s or 800ms
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// The most attempts, including the first
    #[arg(long, value_name = "N")]
    attempts: Option<u32>,
    /// The request may be processed twice: a failed POST is then retried on another endpoint
    #[arg(long)]
    idempotent: bool,
    /// Print status, endpoint, attempts and headers before the body
    #[arg(short, long, conflicts_with = "as_json")]
    include: bool,
    /// Print one JSON document with status, headers, endpoint, attempts, trace and body
    #[arg(long)]
    as_json: bool,
    #[command(flatten)]
    filters: FilterOptions,
    #[command(flatten)]
    registry: RegistryOptions,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let request = arguments.request()?;
    let client = arguments.registry.client()?;
    let response = client.call(&request).inspect_err(|error| {
        if arguments.include {
            print_trace(error.trace());
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
    check_status(response, arguments.include || arguments.as_json)
}

impl Arguments {
    fn request(&self) -> Result<Request, Failure> {
        let (method, service, path) = match &self.third {
            None => (None, &self.first, &self.second),
            Some(path) => (Some(&self.first), &self.second, path),
        };
        let method = match (method, &self.method) {
            (Some(_), Some(_)) => {
                return Err(Failure::Usage(
                    "the method is given twice: before the service and with --method".into(),
                ));
            }
            (Some(method), None) | (None, Some(method)) => method.to_ascii_uppercase(),
            (None, None) if self.json.is_some() || self.data.is_some() => "POST".to_owned(),
            (None, None) => "GET".to_owned(),
        };
        let request = Request::new(method, self.filters.query(service), path);
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        Ok(self.with_options(self.with_body(request)?))
    }

    fn with_body(&self, request: Request) -> Result<Request, Failure> {
        if let Some(json) = &self.json {
            let body = read_content(json)?;
            let read: Result<serde::de::IgnoredAny, _> = serde_json::from_slice(&body);
            read.map_err(|error| Failure::Usage(format!("the value of --json is not valid JSON: {error}")))?;
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

/// The text itself, or the content of the file or of stdin that `@FILE` or `@-` names.
fn read_content(text: &str) -> Result<Vec<u8>, Failure> {
    let Some(source) = text.strip_prefix('@') else { return Ok(text.as_bytes().to_vec()) };
    let mut content = Vec::new();
    let read = match source {
        "-" => std::io::stdin().read_to_end(&mut content).map(drop),
        path => std::fs::read(path).map(|bytes| content = bytes),
    };
    read.map_err(|error| Failure::Failed(format!("cannot read {source:?}: {error}")))?;
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
    // A refused connection does not count as an attempt, but is worth showing.
    if response.trace().len() > 1 {
        head.extend(response.trace().iter().map(|step| format!("  {step}\n")));
    }
    let headers = response.headers().iter();
    head.extend(headers.map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value))));
    head + "\n"
}

/// On a terminal, adds the missing newline at the end. Everywhere else prints the body unchanged.
fn print_body(body: &[u8]) -> Result<(), Failure> {
    output::print_bytes(body)?;
    let open = body.last().is_some_and(|last| *last != b'\n');
    if open && std::io::stdout().is_terminal() { output::print("\n") } else { Ok(()) }
}

fn print_trace(trace: &[TraceStep]) {
    for step in trace {
        failure::print_error(&step.to_string());
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
    // A body that is not valid UTF-8 has its own key, so that the two cannot be confused.
    if let Ok(text) = std::str::from_utf8(response.body()) {
        document["body"] = text.into();
    } else {
        let encoded = base64::engine::general_purpose::STANDARD.encode(response.body());
        document["body_base64"] = encoded.into();
    }
    document
}

fn step(step: &TraceStep) -> Value {
    let mut entry =
        json!({ "address": step.endpoint.address(), "elapsed_ms": step.elapsed.as_secs_f64() * 1e3 });
    match &step.outcome {
        TraceOutcome::Status(status) => entry["status"] = (*status).into(),
        TraceOutcome::Failed(kind, message) => {
            entry["error"] = json!({ "kind": kind.name(), "message": message });
        }
    }
    entry
}

/// The exit code of the response, with an error line unless the status was already printed.
fn check_status(response: Response, is_status_printed: bool) -> Result<(), Failure> {
    let code = if response.status() < 500 { 4 } else { 5 };
    let Err(error) = response.error_for_status() else { return Ok(()) };
    Err(if is_status_printed { Failure::Quiet(code) } else { Failure::Coded(code, error.to_string()) })
}
