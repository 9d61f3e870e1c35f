//! What goes to stdout: text, JSON, tables. A reader who leaves early (`| head -1`) is no failure.

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
        ErrorKind::BrokenPipe => Failure::UNREAD,
        _ => Failure::Failed(format!("cannot write to stdout: {error}")),
    })
}

/// One JSON document on a line of its own.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let line = serde_json::to_string(value).map_err(|error| Failure::Failed(error.to_string()))?;
    print(&format!("{line}\n"))
}

/// Whether nobody reads stdout any more: whoever waits for something to print can stop waiting.
pub(crate) fn is_abandoned() -> bool {
    let out = io::stdout();
    let mut asked = [PollFd::new(&out, PollFlags::empty())];
    let polled = poll(&mut asked, Some(&Timespec::default()));
    polled.is_ok() && asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}

/// Columns that line up, two spaces apart, under their names.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(names: &[&str]) -> Table {
        Table { rows: vec![names.iter().map(|name| (*name).to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
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

/// Its labels but those that registries use for what has a place of its own here.
pub(crate) fn labels(endpoint: &Endpoint) -> String {
    let own = endpoint.labels.iter().filter(|(name, _)| !matches!(name.as_str(), "weight" | "zone"));
    let pairs = own.map(|(name, value)| format!("{name}={value}"));
    pairs.collect::<Vec<_>>().join(",")
}

/// What others registered must not steer the terminal; and an empty cell is seen to be one.
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
    fn columns_line_up_in_any_script() {
        let mut table = Table::new(&["SERVICE", "N"]);
        table.row(["订单服务".into(), "1".into()]);
        table.row(["a".into(), String::new()]);
        assert_eq!(table.text(), "SERVICE   N\n订单服务  1\na         -\n");
    }

    #[test]
    fn what_is_registered_cannot_steer_the_terminal() {
        assert_eq!(visible("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }
}
