//! The report as one page with a drawn timeline: no script, nothing loaded from elsewhere.

use std::fmt::Write;
use std::time::Duration;

use crate::report::Report;

const WIDTH: f64 = 1080.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 16.0;
/// The length of one column.
const STEP: Duration = Duration::from_millis(100);
const COLOURS: [&str; 3] = ["var(--a)", "var(--b)", "var(--c)"];

/// Writes the page.
pub fn write(path: &str, report: &Report) -> std::io::Result<()> {
    let columns = Columns::of(report);
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Plumline demo</title>\
         <style>{STYLE}</style></head><body><main>\
         <h1>Plumline <small>the demo, as it happened</small></h1>{cards}\
         <section><h2>Calls per second, by instance</h2>{legend}{traffic}</section>\
         <section><h2>Latency</h2><p class=\"legend\"><span><i style=\"background:var(--p99)\"></i>slowest of a hundred</span>\
         <span><i style=\"background:var(--p50)\"></i>median</span></p>{latency}</section>\
         <p class=\"foot\">1,000 calls a second with the defaults, eight threads, one client. Each column is 100 ms.</p>\
         </main></body></html>\n",
        cards = cards(report),
        legend = legend(report),
        traffic = traffic(report, &columns),
        latency = latency(report, &columns),
    );
    std::fs::write(path, page)
}

/// What happened in each step of the timeline.
struct Columns {
    /// Answers by instance.
    shares: Vec<[f64; 3]>,
    failed: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Columns {
    fn of(report: &Report) -> Columns {
        let last = report.calls.last().map_or(Duration::ZERO, |call| call.at);
        let count = (last.as_nanos() / STEP.as_nanos()) as usize + 1;
        let mut shares = vec![[0.0; 3]; count];
        let (mut failed, mut took) = (vec![0.0; count], vec![Vec::new(); count]);
        let per_second = 1.0 / STEP.as_secs_f64();
        for call in &report.calls {
            let column = (call.at.as_nanos() / STEP.as_nanos()) as usize;
            took[column].push(call.took.as_secs_f64() * 1e3);
            match call.port.and_then(|port| report.ports.iter().position(|known| *known == port)) {
                Some(instance) => shares[column][instance] += per_second,
                None => failed[column] += per_second,
            }
        }
        let quantile = |share: f64| {
            let of_column = |took: &Vec<f64>| {
                let mut took = took.clone();
                took.sort_by(f64::total_cmp);
                took.get((took.len() as f64 * share) as usize).or(took.last()).copied().unwrap_or_default()
            };
            took.iter().map(of_column).collect()
        };
        Columns { shares, failed, p50: quantile(0.5), p99: quantile(0.99) }
    }

    fn len(&self) -> usize {
        self.shares.len()
    }
}

/// Where a moment lies across the page.
fn across(seconds: f64, total: f64) -> f64 {
    LEFT + (WIDTH - LEFT - RIGHT) * seconds / total
}

fn cards(report: &Report) -> String {
    let millis = |duration: Duration| format!("{:.2} ms", duration.as_secs_f64() * 1e3);
    let failed = report.failed();
    let back = report.back_in().map_or("never".into(), |back| format!("{:.2} s", back.as_secs_f64()));
    let verdict = if failed == 0 { "good" } else { "bad" };
    let cards = [
        ("calls", report.calls.len().to_string(), ""),
        ("failed", failed.to_string(), verdict),
        ("retries", report.retries().to_string(), ""),
        ("median", millis(report.latency(0.5)), ""),
        ("1 in 100 is slower", millis(report.latency(0.99)), ""),
        ("out after the kill", format!("{:.0} ms", report.out_of_rotation().as_secs_f64() * 1e3), ""),
        ("back in its share", back, ""),
    ];
    let card = |(what, figure, class): &(&str, String, &str)| {
        format!("<div class=\"card {class}\"><b>{figure}</b><span>{what}</span></div>")
    };
    format!("<div class=\"cards\">{}</div>", cards.iter().map(card).collect::<String>())
}

fn legend(report: &Report) -> String {
    let item = |(name, colour): (&String, &&str)| {
        format!("<span><i style=\"background:{colour}\"></i>{name}</span>")
    };
    let items: String = report.names.iter().zip(&COLOURS).map(item).collect();
    format!("<p class=\"legend\">{items}<span><i style=\"background:var(--bad)\"></i>failed</span></p>")
}

/// Stacked columns: what each instance answered.
fn traffic(report: &Report, columns: &Columns) -> String {
    let chart = Chart::new(340.0, 1_200.0, columns.len());
    let mut svg = chart.begin(300.0, "");
    for (column, shares) in columns.shares.iter().enumerate() {
        let parts = shares.iter().zip(COLOURS).chain([(&columns.failed[column], "var(--bad)")]);
        let mut bottom = 0.0;
        for (share, colour) in parts.filter(|(share, _)| **share > 0.0) {
            let (top, base) = (chart.up(bottom + share), chart.up(bottom));
            let (x, width) = (chart.x(column), chart.x(column + 1) - chart.x(column) + 0.3);
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                base - top
            );
            bottom += share;
        }
    }
    svg.push_str(&events(report, &chart));
    svg.push_str("</svg>");
    svg
}

/// Two lines: the median and the slowest of a hundred.
fn latency(report: &Report, columns: &Columns) -> String {
    let worst = columns.p99.iter().copied().fold(1.0, f64::max);
    let step = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0]
        .into_iter()
        .find(|step| worst / step <= 5.0)
        .unwrap_or(1e3);
    let chart = Chart::new(220.0, (worst / step).ceil() * step, columns.len());
    let mut svg = chart.begin(step, " ms");
    for (values, colour) in [(&columns.p99, "var(--p99)"), (&columns.p50, "var(--p50)")] {
        let point = |(column, value): (usize, &f64)| {
            let middle = f64::midpoint(chart.x(column), chart.x(column + 1));
            format!("{middle:.1},{:.1}", chart.up(*value))
        };
        let points: Vec<String> = values.iter().enumerate().map(point).collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.8\"/>",
            points.join(" ")
        );
    }
    svg.push_str(&events(report, &chart));
    svg.push_str("</svg>");
    svg
}

/// One picture: its scales and its frame.
struct Chart {
    height: f64,
    top: f64,
    columns: usize,
}

impl Chart {
    const HEAD: f64 = 72.0;
    const FOOT: f64 = 26.0;

    fn new(height: f64, top: f64, columns: usize) -> Chart {
        Chart { height, top, columns }
    }

    fn seconds(&self) -> f64 {
        self.columns as f64 * STEP.as_secs_f64()
    }

    fn x(&self, column: usize) -> f64 {
        across(column as f64 * STEP.as_secs_f64(), self.seconds())
    }

    fn up(&self, value: f64) -> f64 {
        let drawn = self.height - Chart::HEAD - Chart::FOOT;
        Chart::HEAD + drawn * (1.0 - (value / self.top).min(1.0))
    }

    /// The frame, a line each `step`, and the seconds below.
    fn begin(&self, step: f64, unit: &str) -> String {
        let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">", self.height);
        let mut value = 0.0;
        while value <= self.top + 1e-9 {
            let y = self.up(value);
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                WIDTH - RIGHT
            );
            let _ = write!(
                svg,
                "<text class=\"scale\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}{unit}</text>",
                LEFT - 8.0,
                y + 4.0
            );
            value += step;
        }
        for second in 0..=self.seconds() as usize {
            let x = across(second as f64, self.seconds());
            let y = self.height - 8.0;
            let _ = write!(
                svg,
                "<text class=\"scale\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{second} s</text>"
            );
        }
        svg
    }
}

/// A line for each event, its words above the chart; three rows, so that neighbours do not touch.
fn events(report: &Report, chart: &Chart) -> String {
    let mut svg = String::new();
    for (number, event) in report.events.iter().enumerate() {
        let x = across(event.at.as_secs_f64(), chart.seconds());
        let y = 16.0 + 20.0 * (number % 3) as f64;
        let anchor = if x > WIDTH * 0.72 { "end" } else { "start" };
        let aside = if anchor == "end" { -6.0 } else { 6.0 };
        let foot = chart.height - Chart::FOOT;
        let _ = write!(
            svg,
            "<line class=\"event\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{foot}\"/>",
            y - 10.0
        );
        let _ = write!(
            svg,
            "<text class=\"event\" x=\"{:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>",
            x + aside,
            event.what
        );
    }
    svg
}

const STYLE: &str = "\
:root{--ink:#1d1a26;--soft:#6b6577;--paper:#fbfafc;--card:#fff;--line:#e6e2ec;--a:#6d3fa8;--b:#d9777f;--c:#4d9aa8;\
--bad:#c81e1e;--good:#1f7a4d;--p50:#6d3fa8;--p99:#d98a3d}\
@media(prefers-color-scheme:dark){:root{--ink:#eeeaf5;--soft:#a79fb8;--paper:#17141e;--card:#201c2a;--line:#352f42;\
--a:#a882dd;--b:#e8949b;--c:#6dbccb;--bad:#ff6b6b;--good:#5fce97;--p50:#a882dd;--p99:#efac68}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}\
main{max-width:1140px;margin:0 auto;padding:36px 24px 48px}h1{font-size:30px;margin:0 0 20px;letter-spacing:-.02em}\
h1 small{font-size:16px;font-weight:400;color:var(--soft);letter-spacing:0;margin-left:8px}\
h2{font-size:17px;margin:0 0 2px}section{background:var(--card);border:1px solid var(--line);border-radius:14px;\
padding:20px 22px 12px;margin-top:18px}.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(138px,1fr));gap:12px}\
.card{background:var(--card);border:1px solid var(--line);border-radius:14px;padding:14px 16px}\
.card b{display:block;font-size:23px;letter-spacing:-.02em;font-variant-numeric:tabular-nums;white-space:nowrap}\
.card span{color:var(--soft);font-size:13px}.card.good b{color:var(--good)}.card.bad b{color:var(--bad)}\
.legend{color:var(--soft);margin:0 0 4px;font-size:13px}.legend span{margin-right:18px;white-space:nowrap}\
.legend i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px}svg{width:100%;height:auto;display:block}\
.grid{stroke:var(--line)}.scale{fill:var(--soft);font-size:11px;font-variant-numeric:tabular-nums}\
line.event{stroke:var(--ink);stroke-dasharray:3 3;opacity:.55}text.event{fill:var(--ink);font-size:12px;font-weight:600}\
.foot{color:var(--soft);font-size:13px;margin:16px 4px 0}";
