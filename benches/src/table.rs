//! Rows measured side by side: three rounds in turn, medians, ratios to the first row, one JSON file.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// One measured row, as `target/bench/results.json` has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// What it is compared within.
    pub group: String,
    /// What was measured.
    pub name: String,
    /// Of `p50` and `p99`.
    pub unit: String,
    /// The median.
    pub p50: f64,
    /// What one in a hundred exceeds; for rates, the worst round.
    pub p99: f64,
    /// `p50` over that of the group's first row.
    pub ratio: f64,
    /// CPU time of the measuring process per operation, microseconds, where that was measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu_us: Option<f64>,
}

/// What one round of a row came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Round {
    /// The median.
    pub p50: f64,
    /// What one in a hundred exceeds.
    pub p99: f64,
    /// CPU microseconds per operation.
    pub cpu_us: Option<f64>,
}

/// A row to be measured: its name and what measures one round of it.
pub type Contender<'a> = (String, Box<dyn FnMut() -> Round + 'a>);

/// Measures the contenders in turn, so that a machine that drifts drifts for all of them.
pub fn compare(group: &str, unit: &str, rounds: usize, mut contenders: Vec<Contender<'_>>) -> Vec<Row> {
    let mut measured: Vec<Vec<Round>> = vec![Vec::new(); contenders.len()];
    for _ in 0..rounds {
        for ((_, measure), rounds) in contenders.iter_mut().zip(&mut measured) {
            rounds.push(measure());
        }
    }
    let rows = contenders.iter().zip(&measured).map(|((name, _), rounds)| Row {
        group: group.into(),
        name: name.clone(),
        unit: unit.into(),
        p50: median(rounds.iter().map(|round| round.p50)),
        p99: median(rounds.iter().map(|round| round.p99)),
        ratio: 1.0,
        cpu_us: rounds[0].cpu_us.map(|_| median(rounds.iter().filter_map(|round| round.cpu_us))),
    });
    relate(rows.collect())
}

/// Sets each row's ratio to the first.
pub fn relate(mut rows: Vec<Row>) -> Vec<Row> {
    let first = rows.first().map_or(1.0, |row| row.p50);
    rows.iter_mut().for_each(|row| row.ratio = if first == 0.0 { 1.0 } else { row.p50 / first });
    print(&rows);
    rows
}

/// The middle of some figures.
pub fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = figures.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// Median and 99th percentile of these.
pub fn round_of(mut samples: Vec<f64>, cpu_us: Option<f64>) -> Round {
    samples.sort_by(f64::total_cmp);
    let at = |share: f64| samples[((samples.len() as f64 * share) as usize).min(samples.len() - 1)];
    Round { p50: at(0.5), p99: at(0.99), cpu_us }
}

fn print(rows: &[Row]) {
    let Some(first) = rows.first() else { return };
    println!("\n{} ({})", first.group, first.unit);
    println!("  {:<44} {:>11} {:>11} {:>7} {:>9}", "", "p50", "p99", "ratio", "cpu µs");
    for row in rows {
        let cpu = row.cpu_us.map_or(String::new(), |cpu| format!("{cpu:.1}"));
        println!("  {:<44} {:>11.2} {:>11.2} {:>7.2} {cpu:>9}", row.name, row.p50, row.p99, row.ratio);
    }
}

/// Adds the rows to the file, in place of earlier ones of the same groups.
pub fn save(path: &Path, rows: Vec<Row>) -> std::io::Result<()> {
    let mut all: Vec<Row> = match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    all.retain(|row| !rows.iter().any(|new| new.group == row.group));
    all.extend(rows);
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    std::fs::write(path, serde_json::to_string_pretty(&all)?)
}
