//! The operations, each a few lines of the public API.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use plumline::{
    Client, Config, Endpoint, Error, Instance, Labels, Pick, Query, Registration, Request, ServiceHandle,
    Watch,
};
use serde_json::{Map, Value, json};

use crate::forms;
use crate::own::{self, BALANCER_RAISED, IS_CALLER, Notes};

/// Everything made since the last `end`, by name.
#[derive(Clone, Default)]
pub struct Things {
    clients: Book<(Client, Notes)>,
    services: Book<ServiceHandle>,
    picks: Book<Arc<Mutex<Pick>>>,
    registrations: Book<(Arc<Registration>, Client)>,
    watches: Book<Watch>,
    tasks: Arc<Mutex<HashMap<String, JoinHandle<Answer>>>>,
}

type Book<T> = Arc<Mutex<HashMap<String, T>>>;
/// What the bed is told; `Err` is a defect of the runner.
type Answer = Result<Value, String>;
/// What an operation came to.
type Done = Result<Value, Stop>;

/// Why an operation did not go well.
enum Stop {
    Failed(Error),
    Defect(String),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Failed(error)
    }
}

impl From<String> for Stop {
    fn from(defect: String) -> Stop {
        Stop::Defect(defect)
    }
}

impl Things {
    /// Does an operation; one that names a task is done on a thread of its own.
    pub fn answer(&self, operation: &Value) -> Answer {
        let word = text(operation, "do")?;
        if word == "join" {
            let task = self.tasks.lock().unwrap().remove(text(operation, "task")?).ok_or("no such task")?;
            return task.join().map_err(|_| "the task panicked".to_owned())?;
        }
        let Some(task) = operation["task"].as_str() else { return self.done(operation) };
        let (things, operation) = (self.clone(), operation.clone());
        let thread = std::thread::spawn(move || things.done(&operation));
        self.tasks.lock().unwrap().insert(task.to_owned(), thread);
        Ok(json!({"value": null}))
    }

    fn done(&self, operation: &Value) -> Answer {
        IS_CALLER.set(true);
        let done = self.act(operation);
        IS_CALLER.set(false);
        if let Some(text) = BALANCER_RAISED.take() {
            return Ok(json!({"raised": text}));
        }
        match done {
            Ok(value) => Ok(json!({"value": value})),
            Err(Stop::Failed(error)) => Ok(forms::failed(&error)),
            Err(Stop::Defect(what)) => Err(what),
        }
    }

    fn act(&self, operation: &Value) -> Done {
        let client = || Ok::<_, String>(find(&self.clients, operation, "client")?.0);
        let registration = || find(&self.registrations, operation, "registration");
        let watch = || find(&self.watches, operation, "watch");
        let keep_as = || text(operation, "as").map(str::to_owned);
        Ok(match text(operation, "do")? {
            "client" => self.client(operation)?,
            "service" => keep(&self.services, keep_as()?, client()?.service(query(operation)?)?),
            "call" => self.call(operation)?,
            "discover" => forms::endpoints(&client()?.discover(query(operation)?)?),
            "services" => json!(client()?.services()?),
            "pick" => {
                let pick = match operation.get("handle") {
                    Some(_) => find(&self.services, operation, "handle")?.pick()?,
                    None => client()?.pick(query(operation)?)?,
                };
                let told = json!({"endpoint": forms::endpoint(pick.endpoint()), "is_stale": pick.is_stale()});
                keep(&self.picks, keep_as()?, Arc::new(Mutex::new(pick)));
                told
            }
            "report" => {
                let pick = find(&self.picks, operation, "pick")?;
                match text(operation, "outcome")? {
                    "success" => pick.lock().unwrap().success(),
                    _ => pick.lock().unwrap().failure(),
                }
                Value::Null
            }
            "register" => {
                let (client, wanted) = (client()?, &operation["instance"]);
                let instance = laid_over(Instance::new(text(wanted, "service")?, 0), wanted)?;
                let registered = client.register(instance)?;
                let told = forms::registration(&registered);
                keep(&self.registrations, keep_as()?, (Arc::new(registered), client));
                told
            }
            "registration" => forms::registration(&registration()?.0),
            "wait" => nothing(registration()?.0.wait(millis(operation, "timeout")?)?),
            "update" => {
                let registration = registration()?.0;
                nothing(registration.update(laid_over(registration.instance(), &operation["fields"])?)?)
            }
            "close_registration" => {
                let (registration, client) = registration()?;
                let drain = given_millis(operation, "drain").unwrap_or(client.config().registration.drain);
                nothing(registration.close(drain)?)
            }
            "watch" => keep(&self.watches, keep_as()?, client()?.watch(text(operation, "service")?)?),
            "watch_all" => keep(&self.watches, keep_as()?, client()?.watch_all()?),
            "next" => watch()?
                .next_within(millis(operation, "timeout")?)?
                .map_or(Value::Null, |it| forms::change(&it)),
            "close_watch" => {
                watch()?.close();
                Value::Null
            }
            "wait_for" => nothing(client()?.wait_for(query(operation)?, millis(operation, "timeout")?)?),
            "explain" => forms::explanation(&client()?.explain(query(operation)?)?),
            "stats" => json!(client()?.stats()?),
            "publish" => {
                let service = text(operation, "service")?;
                let rows = operation["endpoints"].as_array().into_iter().flatten();
                let endpoints: Result<Vec<_>, _> = rows.map(|row| published(service, row)).collect();
                nothing(client()?.publish(service, endpoints?)?)
            }
            "clear_cache" => nothing(client()?.clear_cache()?),
            "configure" => nothing(client()?.configure(operation["changes"].clone())?),
            "close" => {
                client()?.close_draining(given_millis(operation, "drain"));
                Value::Null
            }
            "is_closed" => json!(client()?.is_closed()),
            "recorded" => json!(*find(&self.clients, operation, "client")?.1.list.lock().unwrap()),
            "end" => {
                self.end();
                Value::Null
            }
            word => return Err(format!("the runner knows no {word:?}").into()),
        })
    }

    fn client(&self, operation: &Value) -> Done {
        let notes = Notes::default();
        let builder = Client::builder().config(Config::layered(operation["config"].clone())?);
        let client = own::build(builder, operation, &notes).build()?;
        *notes.client.lock().unwrap() = Some(client.clone());
        Ok(keep(&self.clients, text(operation, "as")?.to_owned(), (client, notes)))
    }

    fn call(&self, operation: &Value) -> Done {
        let response = if operation.get("handle").is_some() {
            let handle = find(&self.services, operation, "handle")?;
            handle.call(&request(operation, Query::new(&*handle.query().service))?)?
        } else {
            let client = find(&self.clients, operation, "client")?.0;
            client.call(&request(operation, query(operation)?)?)?
        };
        let is_raised = operation["raise_for_status"] == true;
        Ok(forms::response(&if is_raised { response.error_for_status()? } else { response }))
    }

    fn end(&self) {
        for (client, notes) in self.clients.lock().unwrap().drain().map(|(_, client)| client) {
            client.close();
            notes.client.lock().unwrap().take();
        }
        self.services.lock().unwrap().clear();
        self.picks.lock().unwrap().clear();
        self.registrations.lock().unwrap().clear();
        self.watches.lock().unwrap().clear();
        self.tasks.lock().unwrap().drain().for_each(|(_, task)| drop(task.join()));
    }
}

fn request(operation: &Value, query: Query) -> Result<Request, Stop> {
    let path = text(operation, "path")?;
    let mut request = match text(operation, "method")? {
        "GET" => Request::get(query, path),
        "POST" => Request::post(query, path),
        "PUT" => Request::put(query, path),
        "PATCH" => Request::patch(query, path),
        "DELETE" => Request::delete(query, path),
        "HEAD" => Request::head(query, path),
        "OPTIONS" => Request::options(query, path),
        other => Request::new(other.to_owned(), query, path),
    };
    for (name, value) in pairs(operation, "params") {
        request = request.param(name, value);
    }
    for (name, value) in pairs(operation, "headers") {
        request = request.header(name, value);
    }
    for (word, value) in operation.as_object().into_iter().flatten() {
        let number = value.as_u64().unwrap_or_default();
        request = match word.as_str() {
            "json" => request.json(value),
            "body" => request.body(text(operation, "body")?),
            "form" => request.form(pairs(operation, "form")),
            "timeout" => request.timeout(Duration::from_millis(number)),
            "attempt_timeout" => request.attempt_timeout(Duration::from_millis(number)),
            "attempts" => request.attempts(number as u32),
            "max_body" => request.max_body(number),
            "idempotent" => request.idempotent(*value == true),
            _ => request,
        };
    }
    Ok(request)
}

fn query(operation: &Value) -> Result<Query, String> {
    let field = |name: &str| operation[name].as_str().map(str::to_owned);
    let mut query = Query::new(text(operation, "service")?);
    query.version = field("version");
    query.protocol = field("protocol");
    query.labels = labels(operation);
    Ok(query)
}

/// The fields of an operation laid over an instance.
fn laid_over(mut instance: Instance, fields: &Value) -> Result<Instance, String> {
    for (name, value) in fields.as_object().into_iter().flatten() {
        let text = || value.as_str().unwrap_or_default().to_owned();
        match name.as_str() {
            "service" => {}
            "port" => instance.port = port(value)?,
            "host" => instance.host = text(),
            "protocol" => instance.protocol = text(),
            "version" => instance.version = text(),
            "labels" => instance.labels = labels(fields),
            "weight" => instance.weight = value.as_u64().unwrap_or_default() as u32,
            "zone" => instance.zone = text(),
            "tags" => {
                let tags = value.as_array().into_iter().flatten();
                instance.tags = tags.filter_map(|tag| Some(tag.as_str()?.to_owned())).collect();
            }
            "ttl" => instance.ttl = given_millis(fields, "ttl"),
            "instance_id" => instance.instance_id = text(),
            "healthy" => instance.healthy = *value == true,
            other => return Err(format!("an instance has no {other:?}")),
        }
    }
    Ok(instance)
}

fn published(service: &str, row: &Value) -> Result<Endpoint, String> {
    let ip = text(row, "host")?.parse().map_err(|error| format!("{row}: {error}"))?;
    let mut endpoint = Endpoint::new(service, ip, port(&row["port"])?);
    let set = |field: &mut String, name: &str| {
        row[name].as_str().into_iter().for_each(|value| value.clone_into(field));
    };
    set(&mut endpoint.protocol, "protocol");
    set(&mut endpoint.version, "version");
    set(&mut endpoint.zone, "zone");
    set(&mut endpoint.instance_id, "instance_id");
    endpoint.labels = labels(row);
    endpoint.weight = row["weight"].as_u64().unwrap_or(1) as u32;
    endpoint.healthy = row["healthy"] != false;
    Ok(endpoint)
}

fn port(value: &Value) -> Result<u16, String> {
    value.as_u64().and_then(|port| port.try_into().ok()).ok_or_else(|| format!("{value} is no port"))
}

fn labels(of: &Value) -> Labels {
    let map = of["labels"].as_object().cloned().unwrap_or_else(Map::new);
    map.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

fn pairs<'a>(operation: &'a Value, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let pairs = operation[name].as_array().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
}

fn text<'a>(operation: &'a Value, name: &str) -> Result<&'a str, String> {
    operation[name].as_str().ok_or_else(|| format!("{operation} has no {name:?}"))
}

fn millis(operation: &Value, name: &str) -> Result<Duration, String> {
    given_millis(operation, name).ok_or_else(|| format!("{operation} has no {name:?}"))
}

fn given_millis(operation: &Value, name: &str) -> Option<Duration> {
    operation[name].as_u64().map(Duration::from_millis)
}

fn find<T: Clone>(book: &Book<T>, operation: &Value, kind: &str) -> Result<T, String> {
    let name = text(operation, kind)?;
    book.lock().unwrap().get(name).cloned().ok_or_else(|| format!("there is no {kind} {name:?}"))
}

fn keep<T>(book: &Book<T>, name: String, thing: T) -> Value {
    book.lock().unwrap().insert(name, thing);
    Value::Null
}

fn nothing((): ()) -> Value {
    Value::Null
}
