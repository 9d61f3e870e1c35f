//! What is said when the arguments cannot be read: one line, like every other failure.

use clap::error::{Error, ErrorKind};

use crate::failure::Failure;
use crate::output;

/// Help and versions are printed as they are; a mistake becomes one line.
pub(crate) fn answer(error: &Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => output::print(&shown(error)),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{}", shown(error));
            Err(Failure::Quiet(2))
        }
        _ => Err(Failure::Usage(one_line(&error.render().to_string()))),
    }
}

fn shown(error: &Error) -> String {
    error.render().to_string()
}

/// Clap writes the mistake, details below it, tips, then the usage; the usage is kept where there is no tip.
fn one_line(text: &str) -> String {
    let lines = || text.lines().map(str::trim);
    let said = lines().take_while(|line| !line.starts_with("Usage:"));
    let said = said.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let usage = lines().find(|line| line.starts_with("Usage:") && !text.contains("tip: "));
    let mut whole = String::new();
    for part in said.chain(usage) {
        let part = part.trim_start_matches("error: ").trim_start_matches("tip: ");
        if !whole.is_empty() {
            whole.push_str(if whole.ends_with(':') { " " } else { "; " });
        }
        whole.push_str(&part.replace("Usage:", "usage:"));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_mistake_its_details_and_its_tips_fit_on_one_line() {
        let text = "error: unexpected argument '--tmeout' found\n\n  tip: a similar argument exists: '--timeout'\n\nUsage: x\n";
        assert_eq!(
            one_line(text),
            "unexpected argument '--tmeout' found; a similar argument exists: '--timeout'"
        );
        let text =
            "error: these were not provided:\n  <PATH>\n\nUsage: call <PATH>\n\nFor more information, …";
        assert_eq!(one_line(text), "these were not provided: <PATH>; usage: call <PATH>");
    }
}
