//! A program in another language that measures for us, a round at a time, so that its rows take turns with ours.
//!
//! It says the names of what it can measure as a JSON array, then measures one round of one of them for each line
//! on its stdin that holds an index, and answers it as JSON: `{"p50": …, "p99": …}`.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

use plumline_servers::Running;

use crate::table::{Contender, Round};

struct Program {
    _running: Running,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Program {
    fn answer<T: serde::de::DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the program answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    fn measure(&mut self, index: usize) -> Round {
        writeln!(self.asks, "{index}").expect("the program listens");
        self.answer()
    }
}

/// What the program can measure, each with this in front of its name.
pub fn contenders(prefix: &str, mut command: Command) -> Vec<Contender<'static>> {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let asks = child.stdin.take().expect("it is piped");
    let answers = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut program = Program { _running: Running(child), asks, answers };
    let names: Vec<String> = program.answer();
    let program = Rc::new(RefCell::new(program));
    let contender = |(index, name): (usize, String)| -> Contender<'static> {
        let program = program.clone();
        (format!("{prefix}{name}"), Box::new(move || program.borrow_mut().measure(index)))
    };
    names.into_iter().enumerate().map(contender).collect()
}
