//! Running one command: in a process group of its own, its output line by line under the name of its job.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, after, bounded, never, select};
use rustix::process::{Pid, Signal, kill_process_group};

use super::duration::show;

/// Between a polite signal and the one that cannot be refused; and for output that is still on its way.
const PATIENCE: Duration = Duration::from_secs(2);

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    /// In words for the engine's record of the failure.
    Badly(String),
    /// Nothing is known of what it would have come to.
    Interrupted,
}

/// Runs `command` until it ends, its time is over, or `stop` closes.
#[expect(clippy::disallowed_methods, reason = "a job's timeout is a length of time")]
pub(super) fn execute(name: &str, command: &str, timeout: Option<Duration>, stop: &Receiver<()>) -> Ended {
    let (ended_sender, ended) = bounded(1);
    let (output_sender, output_over) = bounded(0);
    let Some(group) = (match start(name, command, ended_sender, output_sender) {
        Ok(group) => group,
        Err(error) => return Ended::Badly(format!("cannot be started: {error}")),
    }) else {
        return Ended::Badly("has no process id".to_owned());
    };
    let time_is_over = timeout.map_or_else(never, after);
    let outcome = select! {
        recv(ended) -> status => judge(status.ok()),
        recv(time_is_over) -> _ => {
            terminate(group, &ended);
            Ended::Badly(format!("was killed after its timeout of {}", timeout.map(show).unwrap_or_default()))
        }
        recv(stop) -> _ => {
            terminate(group, &ended);
            Ended::Interrupted
        }
    };
    // A process that went on in the background may hold the output open; the last lines are given a moment.
    let _ = output_over.recv_timeout(PATIENCE);
    outcome
}

/// `output` closes when both streams have ended.
fn start(
    name: &str,
    command: &str,
    ended: Sender<ExitStatus>,
    output: Sender<()>,
) -> std::io::Result<Option<Pid>> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).process_group(0);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = shell.spawn()?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
    copy(name, child.stdout.take(), output.clone())?;
    copy(name, child.stderr.take(), output)?;
    thread(move || wait(child, &ended))?;
    Ok(group)
}

fn wait(mut child: Child, ended: &Sender<ExitStatus>) {
    if let Ok(status) = child.wait() {
        // Whoever waited may have given up.
        let _ = ended.send(status);
    }
}

/// Copies lines with the job's name in front, until the stream ends.
fn copy(name: &str, stream: Option<impl Read + Send + 'static>, over: Sender<()>) -> std::io::Result<()> {
    let name = name.to_owned();
    let Some(stream) = stream else { return Ok(()) };
    thread(move || {
        let _over = over;
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let mut text = format!("{name} | ").into_bytes();
            text.extend(line);
            text.push(b'\n');
            // A terminal that is gone is no reason to stop a backup.
            let _ = std::io::stdout().lock().write_all(&text);
        }
    })
}

fn thread(run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    std::thread::Builder::new().name("horolog-command".to_owned()).spawn(run).map(drop)
}

fn judge(status: Option<ExitStatus>) -> Ended {
    match status {
        Some(status) if status.success() => Ended::Well,
        Some(status) => Ended::Badly(match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("killed by signal {signal}"),
            (None, None) => "ended without a status".to_owned(),
        }),
        None => Ended::Badly("could not be waited for".to_owned()),
    }
}

/// First asks, then insists. A group that is gone already cannot be signalled, which is as good.
fn terminate(group: Pid, ended: &Receiver<ExitStatus>) {
    let _ = kill_process_group(group, Signal::TERM);
    if ended.recv_timeout(PATIENCE).is_err() {
        let _ = kill_process_group(group, Signal::KILL);
        let _ = ended.recv_timeout(PATIENCE);
    } else {
        // What the command left behind in its group goes with it.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &str, timeout_ms: u64) -> Ended {
        let (_hold, stop) = bounded(0);
        execute("test", command, Some(Duration::from_millis(timeout_ms)), &stop)
    }

    #[test]
    fn an_exit_status_tells_how_it_ended() {
        assert_eq!(run("true", 60_000), Ended::Well);
        assert_eq!(run("exit 3", 60_000), Ended::Badly("exit status 3".to_owned()));
        assert_eq!(run("kill -9 $$", 60_000), Ended::Badly("killed by signal 9".to_owned()));
    }

    #[test]
    fn a_command_is_killed_after_its_timeout_with_its_children() {
        let words = "was killed after its timeout of 50ms".to_owned();
        assert_eq!(run("sleep 600 & sleep 600", 50), Ended::Badly(words));
    }

    #[test]
    fn a_stop_interrupts() {
        let (hold, stop) = bounded(0);
        drop(hold);
        assert_eq!(execute("test", "sleep 600", None, &stop), Ended::Interrupted);
    }
}
