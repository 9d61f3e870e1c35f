//! What is said when the arguments cannot be read: one line, like every other failure.

use clap::error::{Error, ErrorKind};

use super::failure::Failure;
use super::output;

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

/// Clap writes the mistake, details below it, tips, then the usage; we keep all but the usage.
fn one_line(text: &str) -> String {
    let said = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
    let parts = said.filter(|line| !line.is_empty() && !line.starts_with("For more information"));
    let mut whole = String::new();
    for part in parts {
        let part = part.trim_start_matches("error: ").trim_start_matches("tip: ");
        if !whole.is_empty() {
            whole.push_str(if whole.ends_with(':') { " " } else { "; " });
        }
        whole.push_str(part);
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
            "error: the following arguments were not provided:\n  --tls-key <FILE>\n\nUsage: x\n\nFor more …";
        assert_eq!(one_line(text), "the following arguments were not provided: --tls-key <FILE>");
    }
}
