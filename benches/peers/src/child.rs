//! One run in a process of its own: memory is touched for the first time, and what the last peer did to the allocator is
//! gone. A workload that takes too long is stopped with its process; the next process goes on behind it.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use horolog_benches::compare::read_run;

use crate::data::Load;
use crate::metric::Metric;
use crate::options::{ONE_RUN, Options};
use crate::workloads::Workload;
use crate::{Peer, Run};

/// The line that ends what one workload has to say.
const DONE: &str = "done";

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_secs(1 << 32);

/// Does all that, and prints what it measured.
pub(crate) fn run(workloads: &[Workload], load: &Load) {
    for workload in workloads {
        for (metric, value) in workload.measure(load) {
            println!("{metric:?} {}", value.map_or("wrong".into(), |value| value.to_string()));
        }
        println!("{DONE}");
    }
}

/// All workloads of a peer. `None` if a process failed.
pub(crate) fn spawn(peer: &Peer, load: &Load, options: &Options) -> Option<Run> {
    let workloads = (peer.workloads)(load, options.rows);
    let (mut run, mut from) = (Run::new(), 0);
    while from < workloads.len() {
        let mut process = start(peer, load, options, from);
        let (text, is_over) = listen(&mut process, options.stop_after.unwrap_or(FOR_EVER));
        run.extend(read_run(&text, &Metric::ALL));
        from += text.lines().filter(|line| *line == DONE).count();
        if is_over {
            let status = process.wait().expect("it was started");
            if !status.success() {
                eprintln!("\n{}: {status}", peer.name);
                return None;
            }
        } else {
            process.kill().expect("it is ours");
            process.wait().expect("it was started");
            run.extend(workloads.get(from).map(Workload::stopped).unwrap_or_default());
            from += 1;
        }
    }
    Some(with_sum(run))
}

fn start(peer: &Peer, load: &Load, options: &Options, from: usize) -> Child {
    let program = std::env::current_exe().expect("the program knows where it is");
    let numbers = [load.timers.to_string(), load.run.to_string()];
    let mut command = Command::new(program);
    command.args([ONE_RUN, peer.name]).args(numbers);
    command.args([load.spread.name(), options.rows.name(), &from.to_string()]);
    command.stdout(Stdio::piped()).spawn().expect("the program starts a second time")
}

/// What the process prints until its end, or until it has been silent for so long; and whether it has come to its end.
fn listen(process: &mut Child, patience: Duration) -> (String, bool) {
    let lines = lines(process);
    let mut text = String::new();
    loop {
        match lines.recv_timeout(patience) {
            Ok(line) => text.extend([&line, "\n"]),
            Err(end) => return (text, end == RecvTimeoutError::Disconnected),
        }
    }
}

fn lines(process: &mut Child) -> Receiver<String> {
    let (sender, lines) = channel();
    let output = BufReader::new(process.stdout.take().expect("it is a pipe"));
    thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

/// With the sum of what has three rows of its own.
pub(crate) fn with_sum(mut run: Run) -> Run {
    let parts = [Metric::Insert, Metric::Cancel, Metric::ExpireTicks];
    if parts.iter().all(|part| run.contains_key(part)) {
        let sum = parts.iter().map(|part| run.get(part).copied().flatten()).sum();
        run.insert(Metric::Sum, sum);
    }
    run
}
