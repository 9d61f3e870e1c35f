//! What a scenario may say. The schema is made from these types; a word they do not have is refused.

mod ask;
mod happening;
mod server;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub use ask::Ask;
pub use happening::Happening;
pub use server::{Broken, ControllerScript, Known, RegistryScript, Reply, ServerScript};

use crate::pattern;

/// A file of scenarios on one topic.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What its scenarios have in common.
    pub topic: String,
    /// The scenarios, played in order.
    pub scenarios: Vec<Scenario>,
}

/// One scenario: what there is, what happens, what must come of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A sentence that says what is so; unique within its topic.
    pub name: String,
    /// What it guards: what a user would notice if it broke.
    pub why: String,
    /// Servers that do as they are told, by name.
    #[serde(default)]
    pub endpoints: BTreeMap<String, ServerScript>,
    /// It is played once on each of these; `${registry}` is its address, `${unique}` makes names of services its own.
    #[serde(default)]
    pub on: Vec<System>,
    /// It is played on our controller only, set like this; `${controller}` is where it listens.
    #[serde(default)]
    pub controller: Option<ControllerScript>,
    /// How the registry is at first.
    #[serde(default)]
    pub registry: RegistryScript,
    /// Files in `${tmp}`, by name.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// What the endpoints must have seen afterwards, by name: patterns.
    #[serde(default)]
    pub saw: BTreeMap<String, Saw>,
    /// Milliseconds for all of it (30,000).
    #[serde(default = "ten_seconds")]
    pub limit: u64,
}

fn ten_seconds() -> u64 {
    30_000
}

/// One step: an operation for the runner, or something that happens in the bed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// An operation for the runner.
    #[serde(default)]
    pub ask: Option<Ask>,
    /// Something that happens in the bed.
    #[serde(default)]
    pub bed: Option<Happening>,
    /// The operation goes on beside the following steps under this name, until `join`.
    #[serde(default)]
    pub task: Option<String>,
    /// The pattern of the value that must come out; without `error` and `raised` any value will do.
    #[serde(default, deserialize_with = "present")]
    pub expect: Option<Value>,
    /// The pattern of the error that must come out.
    #[serde(default)]
    pub error: Option<Value>,
    /// The text that the user's own code raised and that must come out.
    #[serde(default)]
    pub raised: Option<String>,
    /// Repeat until it matches, at most so many milliseconds.
    #[serde(default)]
    pub within: Option<u64>,
    /// Do it so often; each time must match.
    #[serde(default)]
    pub times: Option<u32>,
    /// The least and the most milliseconds it may take, each time.
    #[serde(default)]
    pub took: Option<[u64; 2]>,
}

/// A value that is there even where it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A registry, by its real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Our own controller, one for each scenario.
    Plum,
    /// etcd.
    Etcd,
    /// Consul.
    Consul,
    /// Nacos.
    Nacos,
    /// `ZooKeeper`.
    Zookeeper,
    /// A name server with SRV records, one for each scenario; nobody registers there through Plumline.
    Dns,
}

/// Patterns of what an endpoint must have seen.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Saw {
    /// How many requests were read in full.
    #[serde(default)]
    pub requests: Option<Value>,
    /// How many connections were opened.
    #[serde(default)]
    pub connections: Option<Value>,
    /// The requests: `{"method", "path", "headers": [["name", "value"]], "body"}`.
    #[serde(default)]
    pub list: Option<Value>,
}

/// Every file in a folder, checked, sorted by name.
pub fn read(folder: &Path) -> Result<Vec<File>, String> {
    let listing = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths: Vec<_> = listing.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.retain(|path| !path.ends_with("schema.json") && !path.ends_with("words.json"));
    paths.sort();
    let files: Result<Vec<File>, String> = paths.iter().map(|path| read_file(path)).collect();
    let files = files?;
    if files.is_empty() {
        return Err(format!("{} holds no scenarios", folder.display()));
    }
    Ok(files)
}

fn read_file(path: &Path) -> Result<File, String> {
    let in_file = |error: String| format!("{}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| in_file(error.to_string()))?;
    parse(&text).map_err(in_file)
}

/// Reads a file of scenarios and refuses what cannot be meant.
pub fn parse(text: &str) -> Result<File, String> {
    let mut file: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if let Some(scenarios) = file.get_mut("scenarios").and_then(Value::as_array_mut) {
        *scenarios = std::mem::take(scenarios).into_iter().flat_map(on_each).collect();
    }
    let file: File = serde_json::from_value(file).map_err(|error| error.to_string())?;
    let mut names = std::collections::BTreeSet::new();
    for scenario in &file.scenarios {
        let of_scenario = |what: String| format!("{:?}: {what}", scenario.name);
        if !names.insert(scenario.name.as_str()) {
            return Err(of_scenario("there are two of this name".into()));
        }
        scenario.check().map_err(of_scenario)?;
    }
    Ok(file)
}

/// A scenario that is played on several systems is one for each of them.
fn on_each(scenario: Value) -> Vec<Value> {
    let systems = scenario.get("on").and_then(Value::as_array).cloned().unwrap_or_default();
    if systems.is_empty() {
        return vec![scenario];
    }
    let on = |system: Value| {
        let mut scenario = scenario.clone();
        let (name, system_name) =
            (scenario["name"].as_str().unwrap_or_default(), system.as_str().unwrap_or_default());
        scenario["name"] = format!("{name} ({system_name})").into();
        scenario["on"] = Value::Array(vec![system]);
        scenario
    };
    systems.into_iter().map(on).collect()
}

impl Scenario {
    fn check(&self) -> Result<(), String> {
        if self.why.is_empty() || self.steps.is_empty() {
            return Err("it needs a why and steps".into());
        }
        self.check_registry()?;
        for (name, saw) in &self.saw {
            self.knows(name)?;
            let patterns = [&saw.requests, &saw.connections, &saw.list];
            patterns.into_iter().flatten().try_for_each(pattern::check)?;
        }
        for (index, step) in self.steps.iter().enumerate() {
            self.check_step(step).map_err(|what| format!("step {}: {what}", index + 1))?;
        }
        Ok(())
    }

    fn check_registry(&self) -> Result<(), String> {
        if !self.on.is_empty() && self.controller.is_some() {
            return Err("on and controller exclude each other".into());
        }
        let is_played_on_one = !self.on.is_empty() || self.controller.is_some();
        if !is_played_on_one && (self.registry.down || !self.registry.knows.is_empty()) {
            return Err("it has no registry that could know anything: say on or controller".into());
        }
        self.registry.knows.iter().try_for_each(|known| self.knows(&known.endpoint))
    }

    fn check_step(&self, step: &Step) -> Result<(), String> {
        if step.ask.is_some() == step.bed.is_some() {
            return Err("it is either an ask or a bed".into());
        }
        let outcomes = [step.expect.is_some(), step.error.is_some(), step.raised.is_some()];
        if outcomes.iter().filter(|is_said| **is_said).count() > 1 {
            return Err("only one of expect, error and raised can come out".into());
        }
        if step.within.is_some() && step.times.is_some() {
            return Err("within and times exclude each other".into());
        }
        if let Some(happening) = &step.bed {
            happening.endpoint().map_or(Ok(()), |name| self.knows(name))?;
        }
        [&step.expect, &step.error].into_iter().flatten().try_for_each(pattern::check)
    }

    fn knows(&self, endpoint: &str) -> Result<(), String> {
        if self.endpoints.contains_key(endpoint) {
            return Ok(());
        }
        Err(format!("there is no endpoint {endpoint:?}"))
    }
}

/// The JSON Schema of a file.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(File).to_value();
    schema["title"] = "Scenarios of one topic".into();
    format!("{}\n", serde_json::to_string_pretty(&schema).unwrap_or_default())
}
