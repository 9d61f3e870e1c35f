//! Plays one scenario: sets the stage, goes through the steps, and looks afterwards at what was seen.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::names::Names;
use crate::pattern::{brief, compare};
use crate::registry::{self, Registry, Systems};
use crate::runner::{Lost, Outcome, Runner};
use crate::scenario::{Ask, Happening, Known, Saw, Scenario, Step};
use crate::server::Server;
use crate::tls::Authority;

/// How often a step is tried anew that is given time.
const AGAIN: Duration = Duration::from_millis(10);
/// How long a runner may take to let go of everything.
const FAREWELL: Duration = Duration::from_secs(10);

/// How a scenario failed.
pub struct Failure {
    /// In words.
    pub reason: String,
    /// The runner does not answer any more; nothing else can be played.
    pub is_final: bool,
}

impl From<String> for Failure {
    fn from(reason: String) -> Failure {
        Failure { reason, is_final: false }
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Failure {
        match lost {
            Lost::Defect(reason) => Failure { reason, is_final: false },
            Lost::Silent(reason) => Failure { reason, is_final: true },
        }
    }
}

/// Plays it; whatever becomes of it, the runner is told to let go.
pub fn play(
    scenario: &Scenario,
    runner: &Runner,
    authority: &Arc<Authority>,
    systems: &mut Systems,
) -> Result<(), Failure> {
    let mut stage = Stage::set(scenario, authority, systems)?;
    let until = Instant::now() + millis(scenario.limit);
    let mut played = stage.go_through(scenario, runner, until);
    if let Err(failure) = &mut played {
        if failure.is_final {
            return played;
        }
        failure.reason += &registries(scenario, runner);
    }
    let ended = runner.ask(&json!({"do": "end"}), Instant::now() + FAREWELL);
    played?;
    match ended.map_err(Failure::from)? {
        Outcome::Value(Value::Null) => {}
        other => return Err(format!("end came to {other:?}").into()),
    }
    let saw = |(name, saw): (&String, &Saw)| stage.check_saw(name, saw);
    Ok(scenario.saw.iter().try_for_each(saw)?)
}

struct Stage<'a> {
    names: Names,
    servers: BTreeMap<String, Server>,
    registry: Option<Box<dyn Registry + 'a>>,
    folder: TempDir,
}

impl<'a> Stage<'a> {
    fn set(
        scenario: &Scenario,
        authority: &Arc<Authority>,
        systems: &'a mut Systems,
    ) -> Result<Stage<'a>, String> {
        let in_words = |error: std::io::Error| format!("the scenario's folder: {error}");
        let folder = TempDir::new().map_err(in_words)?;
        let mut names = Names::default();
        let mut servers = BTreeMap::new();
        for (name, script) in &scenario.endpoints {
            let tls = script.tls.as_ref().map(|names| authority.server(names)).transpose()?;
            let server = Server::start(script, tls)?;
            names.address(name, server.address());
            servers.insert(name.clone(), server);
        }
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).map_err(in_words)?;
        names.text("ca", ca.display().to_string());
        names.text("tmp", folder.path().display().to_string());
        names.text("unique", systems.unique());
        let registry = registry::of(scenario, authority, folder.path(), systems)?;
        if let Some(registry) = &registry {
            let name = if scenario.controller.is_some() { "controller" } else { "registry" };
            for (index, place) in registry.places().into_iter().enumerate() {
                let suffix = if index == 0 { String::new() } else { format!("-{}", index + 1) };
                names.address(&format!("{name}{suffix}"), place);
            }
            names.text("registry", registry.address());
        }
        let mut stage = Stage { names, servers, registry, folder };
        if let Some(registry) = &mut stage.registry {
            registry.up()?;
        }
        scenario.registry.knows.iter().try_for_each(|known| stage.register(known))?;
        if scenario.registry.down {
            stage.registry()?.down();
        }
        scenario.files.iter().try_for_each(|(name, text)| stage.write(name, text))?;
        Ok(stage)
    }

    /// Replaces a file at once: nobody reads half of it.
    fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let text = self.names.fill_text(text)?;
        let (path, new) = (self.folder.path().join(name), self.folder.path().join(format!(".{name}")));
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(|error| format!("{}: {error}", path.display()))
    }

    fn go_through(&mut self, scenario: &Scenario, runner: &Runner, until: Instant) -> Result<(), Failure> {
        for (index, step) in scenario.steps.iter().enumerate() {
            self.take(step, runner, until).map_err(|failure| Failure {
                reason: format!("step {} ({}): {}", index + 1, described(step), failure.reason),
                is_final: failure.is_final,
            })?;
        }
        Ok(())
    }

    fn take(&mut self, step: &Step, runner: &Runner, until: Instant) -> Result<(), Failure> {
        let patience = step.within.map(|limit| (Instant::now() + millis(limit)).min(until));
        let mut left = step.times.unwrap_or(1);
        loop {
            let began = Instant::now();
            let outcome = match (&step.ask, &step.bed) {
                (Some(ask), _) => {
                    let mut line = ask.line()?;
                    line.extend(step.task.iter().map(|task| ("task".to_owned(), task.as_str().into())));
                    runner.ask(&self.names.fill(&line.into())?, until)?
                }
                (None, Some(happening)) => Outcome::Value(self.happen(happening)?),
                (None, None) => return Err("it is neither ask nor bed".to_owned().into()),
            };
            let took = began.elapsed();
            match self.judge(step, outcome).and_then(|()| in_time(step, took)) {
                Ok(()) => left -= 1,
                Err(reason) => match patience {
                    Some(patience) if Instant::now() < patience => std::thread::sleep(AGAIN),
                    Some(_) => return Err(format!("not in time: {reason}").into()),
                    None if step.times.is_some() => {
                        let number = step.times.unwrap_or(1) - left + 1;
                        return Err(format!("time {number}: {reason}").into());
                    }
                    None => return Err(reason.into()),
                },
            }
            if left == 0 {
                return Ok(());
            }
        }
    }

    fn judge(&self, step: &Step, outcome: Outcome) -> Result<(), String> {
        let [expect, error] = [self.wanted(step.expect.as_ref())?, self.wanted(step.error.as_ref())?];
        match (outcome, &expect, &error, &step.raised) {
            (Outcome::Value(mut value), pattern, None, None) => {
                self.names.read(&mut value);
                pattern.as_ref().map_or(Ok(()), |pattern| compare(pattern, &value))
            }
            (Outcome::Error(mut error), None, Some(pattern), None) => {
                self.names.read(&mut error);
                compare(pattern, &error).map_err(|what| format!("{what} in the error {}", brief(&error)))
            }
            (Outcome::Raised(text), None, None, Some(wanted)) if text == *wanted => Ok(()),
            (Outcome::Value(mut value), ..) => {
                self.names.read(&mut value);
                Err(format!("it should have failed; it gave {}", brief(&value)))
            }
            (Outcome::Error(mut error), ..) => {
                self.names.read(&mut error);
                Err(format!("it failed: {}", brief(&error)))
            }
            (Outcome::Raised(text), ..) => Err(format!("it raised {text:?}")),
        }
    }

    /// A pattern, with everything in it by name as it is in answers.
    fn wanted(&self, pattern: Option<&Value>) -> Result<Option<Value>, String> {
        let Some(pattern) = pattern else { return Ok(None) };
        let mut filled = self.names.fill(pattern)?;
        self.names.read(&mut filled);
        Ok(Some(filled))
    }

    fn happen(&mut self, happening: &Happening) -> Result<Value, String> {
        match happening {
            Happening::Register(known) => self.register(known)?,
            Happening::Deregister(known) => {
                let (known, at) = self.filled(known)?;
                self.registry()?.deregister(&known, at)?;
            }
            Happening::RegistryDown {} => self.registry()?.down(),
            Happening::RegistryUp {} => self.registry()?.up()?,
            Happening::RegistryHangs {} => self.registry()?.hang()?,
            Happening::RegistryRestarts {} => self.registry()?.restart()?,
            Happening::Listed { service } => {
                let service = self.names.fill_text(service)?;
                let mut places = self.registry()?.listed(&service)?;
                places.sort();
                let mut listed = places.iter().map(|place| json!(place.to_string())).collect();
                self.names.read(&mut listed);
                return Ok(listed);
            }
            Happening::Down { endpoint } => self.server(endpoint)?.down(),
            Happening::Up { endpoint } => self.server(endpoint)?.up().map_err(|error| error.to_string())?,
            Happening::Cut { endpoint } => self.server(endpoint)?.cut(),
            Happening::Answers { endpoint, answers } => self.server(endpoint)?.answer(answers.clone()),
            Happening::Saw { endpoint } => return Ok(self.server(endpoint)?.saw()),
            Happening::Write { file, text } => self.write(file, text)?,
            Happening::Pause { ms } => std::thread::sleep(Duration::from_millis(*ms)),
        }
        Ok(Value::Null)
    }

    fn server(&mut self, name: &str) -> Result<&mut Server, String> {
        self.servers.get_mut(name).ok_or_else(|| format!("there is no endpoint {name:?}"))
    }

    fn registry(&mut self) -> Result<&mut (dyn Registry + 'a), String> {
        self.registry.as_deref_mut().ok_or_else(|| "the scenario has no registry".to_owned())
    }

    fn register(&mut self, known: &Known) -> Result<(), String> {
        let (known, at) = self.filled(known)?;
        self.registry()?.register(&known, at)
    }

    fn filled(&self, known: &Known) -> Result<(Known, SocketAddr), String> {
        let service = self.names.fill_text(&known.service)?;
        Ok((Known { service, ..known.clone() }, self.names.of(&known.endpoint)?))
    }

    fn check_saw(&self, name: &str, wanted: &Saw) -> Result<(), String> {
        let server = self.servers.get(name).ok_or_else(|| format!("there is no endpoint {name:?}"))?;
        let mut saw = server.saw();
        self.names.read(&mut saw);
        for (what, pattern) in
            [("requests", &wanted.requests), ("connections", &wanted.connections), ("list", &wanted.list)]
        {
            let Some(pattern) = pattern else { continue };
            compare(pattern, &saw[what]).map_err(|reason| format!("what {name} saw, {what}: {reason}"))?;
        }
        Ok(())
    }
}

/// What the clients of a scenario that failed know of their registries: often that is why.
fn registries(scenario: &Scenario, runner: &Runner) -> String {
    let clients = scenario.steps.iter().filter_map(|step| match &step.ask {
        Some(Ask::Client(client)) => Some(client.r#as.as_str()),
        _ => None,
    });
    let known = clients.map(|client| {
        let line = json!({"do": "stats", "client": client});
        match runner.ask(&line, Instant::now() + FAREWELL) {
            Ok(Outcome::Value(stats)) => {
                format!("\n      {client}: {}", brief(&stats["cache"]["registries"]))
            }
            _ => format!("\n      {client}: tells nothing"),
        }
    });
    known.collect()
}

/// The longest that something may take, in milliseconds as scenarios say it, on a machine that is busy.
fn millis(most: u64) -> Duration {
    Duration::from_millis(most) * plumline_tests::patience()
}

fn in_time(step: &Step, took: Duration) -> Result<(), String> {
    match step.took {
        Some([least, most]) if took < Duration::from_millis(least) || took > millis(most) => {
            Err(format!("it took {} ms, not {least} to {most}", took.as_millis()))
        }
        _ => Ok(()),
    }
}

fn described(step: &Step) -> String {
    match (&step.ask, &step.bed) {
        (Some(ask), _) => ask.line().ok().and_then(|line| Some(line.get("do")?.as_str()?.to_owned())),
        (None, Some(happening)) => format!("{happening:?}").split([' ', '(']).next().map(str::to_owned),
        (None, None) => None,
    }
    .unwrap_or_default()
}
