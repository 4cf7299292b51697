//! Promises of Horolog, tested through its public face. Names are the specification.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at files from outside the room that is reserved for them"
)]
#![expect(clippy::expect_used, clippy::panic, reason = "a test says what it expects")]

mod bad_input;
mod clock;
mod delivery;
#[cfg(target_os = "linux")]
mod limits;
mod periodic;
mod restart;
mod threads;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use horolog::{Due, Engine, Options};

use clock::HandClock;

/// How long something that must come may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An engine on a clock that is moved by hand.
fn open(path: &Path, clock: &Arc<HandClock>) -> Engine {
    Options::new().clock(clock.clone()).open(path).expect("the directory opens")
}

/// The next occurrence; a minute without one is a failure.
fn next(engine: &Engine) -> Due {
    engine.due().recv_timeout(PATIENCE).expect("an occurrence comes")
}

/// Moves the clock, and has the engine see it.
fn pass(engine: &Engine, clock: &HandClock, time: Duration) {
    clock.pass(time);
    engine.clock_moved();
}

/// Leaves the engine as a killed process would: whatever it did not write is lost, and no goodbye is said.
///
/// The engine's threads and its lock live on in this process, so the directory is copied and the copy is opened. META comes
/// first: what it lists is there by then, and what it does not list yet counts for nothing. (No rotation may come in between.)
fn killed(engine: Engine, path: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a directory");
    let take =
        |name: &std::ffi::OsStr| std::fs::copy(path.join(name), copy.path().join(name)).expect("a copy");
    take("META".as_ref());
    let names = std::fs::read_dir(path)
        .expect("the directory is there")
        .map(|entry| entry.expect("an entry").file_name());
    for name in names.filter(|name| *name != "META" && !name.to_string_lossy().ends_with(".tmp")) {
        take(&name);
    }
    drop(engine);
    copy
}
