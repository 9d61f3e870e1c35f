//! Errors in the arguments: one line on stderr, like every other failure.

use clap::error::{Error, ErrorKind};

use crate::failure::Failure;
use crate::output;

/// Prints help and version as they are; an error becomes one line.
pub(crate) fn report(error: &Error) -> Result<(), Failure> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => output::print(&rendered(error)),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{}", rendered(error));
            Err(Failure::Quiet(2))
        }
        _ => Err(Failure::Usage(one_line(&error.render().to_string()))),
    }
}

fn rendered(error: &Error) -> String {
    error.render().to_string()
}

/// Joins the lines of clap: the error, its details, tips and the usage. The usage is omitted where there is a tip.
fn one_line(text: &str) -> String {
    let lines = || text.lines().map(str::trim);
    let error = lines().take_while(|line| !line.starts_with("Usage:"));
    let error = error.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let usage = lines().find(|line| line.starts_with("Usage:") && !text.contains("tip: "));
    let mut whole = String::new();
    for part in error.chain(usage) {
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
    fn joins_error_details_and_tips_into_one_line() {
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
