//! A process that is stopped for a while: it takes connections and never answers.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::until;

/// The longest that a signal takes to be seen.
const SOON: Duration = Duration::from_secs(5);

/// SIGSTOP; returns once it stands still. Its threads run on for a moment after the signal was sent.
pub fn stop(pid: Pid) {
    kill_process(pid, Signal::STOP).unwrap();
    until("it stands still", SOON, || stands_still(pid));
}

/// SIGCONT.
pub fn go_on(pid: Pid) {
    kill_process(pid, Signal::CONT).unwrap();
}

/// SIGSTOP to all processes of its group; returns once these of them stand still.
pub fn stop_group(leader: Pid, members: &[Pid]) {
    kill_process_group(leader, Signal::STOP).unwrap();
    until("all of them stand still", SOON, || members.iter().copied().all(stands_still));
}

/// SIGCONT to all processes of its group.
pub fn let_group_go_on(leader: Pid) {
    kill_process_group(leader, Signal::CONT).unwrap();
}

/// Whether none of its threads runs.
fn stands_still(pid: Pid) -> bool {
    // What has ended does not run either.
    let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero())) else { return true };
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The name before the state may hold anything, brackets too.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z', 'X']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    struct Busy(Child);

    impl Drop for Busy {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn stopped_process_stands_still_until_continued() {
        // `yes` never waits for anything: it runs until it is stopped.
        let busy = Busy(Command::new("yes").stdout(std::process::Stdio::null()).spawn().unwrap());
        let pid = Pid::from_child(&busy.0);
        assert!(!stands_still(pid));
        stop(pid);
        assert!(stands_still(pid));
        go_on(pid);
        until("it runs again", SOON, || !stands_still(pid));
    }
}
