//! Output on stdout: text, JSON and tables. A reader that closes the pipe early (`| head -1`) is not a failure.

use std::io::{self, ErrorKind, Write};

use plumline::Endpoint;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::failure::Failure;

pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::OUTPUT_CLOSED,
        _ => Failure::Failed(format!("cannot write to stdout: {error}")),
    })
}

/// Prints one JSON document on one line.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value).map_err(|error| Failure::Failed(error.to_string()))?;
    print(&format!("{line}\n"))
}

/// Whether the reader of stdout has closed it, so that waiting for more output is useless.
pub(crate) fn is_stdout_closed() -> bool {
    let out = io::stdout();
    let mut polled_fds = [PollFd::new(&out, PollFlags::empty())];
    let polled = poll(&mut polled_fds, Some(&Timespec::default()));
    polled.is_ok() && polled_fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// A table with a heading and aligned columns, two spaces apart.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(names: &[&str]) -> Table {
        Table { rows: vec![names.iter().map(|name| (*name).to_owned()).collect()] }
    }

    pub(crate) fn add_row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| visible(&cell)).collect());
    }

    pub(crate) fn print(&self) -> Result<(), Failure> {
        print(&self.text())
    }

    fn text(&self) -> String {
        let columns = self.rows[0].len();
        let width_of = |column: usize| self.rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        let mut text = String::new();
        for row in &self.rows {
            let line = row.iter().zip(&widths).fold(String::new(), |line, (cell, width)| {
                let gap = " ".repeat(width - cell.width() + 2);
                line + cell + &gap
            });
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The cells of an endpoint, in the order of [`ENDPOINT_COLUMNS`].
pub(crate) fn endpoint_cells(endpoint: &Endpoint) -> [String; 7] {
    [
        endpoint.address(),
        endpoint.protocol.clone(),
        endpoint.version.clone(),
        endpoint.weight.to_string(),
        endpoint.zone.clone(),
        endpoint.instance_id.clone(),
        labels(endpoint),
    ]
}

pub(crate) const ENDPOINT_COLUMNS: [&str; 7] =
    ["ADDRESS", "PROTOCOL", "VERSION", "WEIGHT", "ZONE", "INSTANCE", "LABELS"];

/// The labels, except those that have a column of their own.
pub(crate) fn labels(endpoint: &Endpoint) -> String {
    let shown = endpoint.labels.iter().filter(|(name, _)| !matches!(name.as_str(), "weight" | "zone"));
    let pairs = shown.map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// Escapes control characters, so that registered text cannot control the terminal. Shows an empty text as `-`.
pub(crate) fn visible(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.chars().fold(String::new(), |mut shown, letter| {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_aligns_columns_in_any_script() {
        let mut table = Table::new(&["SERVICE", "N"]);
        table.add_row(["订单服务".into(), "1".into()]);
        table.add_row(["a".into(), String::new()]);
        assert_eq!(table.text(), "SERVICE   N\n订单服务  1\na         -\n");
    }

    #[test]
    fn visible_escapes_control_characters() {
        assert_eq!(visible("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
