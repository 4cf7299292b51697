//! The real binary, on real directories.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test stops at the first thing that is wrong, and looks at files as a user would"
)]

mod bench_disk;
mod drill;
mod golden;
mod many_files;
mod repair;
mod run;
mod tools;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// How long anything may take that is bound to happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn horolog(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_horolog")).args(args).output().expect("the binary starts")
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

/// Looks until it is so. The wait in between keeps the machine free for what is waited for.
#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let step = Duration::from_millis(5);
    let looks = PATIENCE.as_millis() / step.as_millis();
    for _ in 0..looks {
        if is_so() {
            return;
        }
        pause(step);
    }
    assert!(is_so(), "never came to be: {what}");
}

fn pause(time: Duration) {
    let _ = crossbeam_channel::after(time).recv();
}
