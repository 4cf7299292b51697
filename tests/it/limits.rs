//! A process whose files may not grow beyond a limit (RLIMIT_FSIZE). A limit is for the whole process, so each test runs
//! in a child.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use horolog::{ScheduleError, ScheduleFault, Timer, Unavailable};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// The variable that makes a test the child, and names the directory.
const DIR: &str = "HOROLOG_TEST_DIR_OF_SMALL_FILES";

/// What the child ends with if every timer was taken. A child that ran no test at all would end with 0.
const ALL_TAKEN: i32 = 42;

const TIMERS: u32 = 200;

/// Room for the smallest segment of the log and for the next one, which is twice as large, and not for a third one.
const FILE_BYTES_MAX: u64 = 200_000;

fn limit(resource: Resource, current: Option<u64>) {
    setrlimit(resource, Rlimit { current, ..getrlimit(resource) }).expect("within what the system allows");
}

/// Schedules the timer with this number, and says so; `false` if there is no room.
fn schedules(engine: &Engine, n: u32) -> bool {
    match engine.schedule(Timer::after(HOUR).key(n.to_string()).payload([1; 3_000])) {
        Ok(_) => {
            println!("acked {n}");
            true
        }
        Err(ScheduleError::NotScheduled(refused)) => {
            let why = refused.fault;
            assert!(matches!(why, ScheduleFault::Unavailable(Unavailable::StorageFull(_))), "{why:?}");
            false
        }
        Err(other) => panic!("{other:?}"),
    }
}

/// Schedules as many timers as need several segments, each as soon as it is taken.
fn child(dir: &Path) -> ! {
    println!();
    limit(Resource::Core, Some(0));
    limit(Resource::Fsize, Some(FILE_BYTES_MAX));
    let engine = Options::new().segment_bytes(64 << 10, 1 << 20).open(dir).expect("opens");
    // A refusal is over after a second look for room, which is at most five seconds away; nothing comes due meanwhile.
    let pause = || drop(engine.due().recv_timeout(Duration::from_millis(10)));
    for n in 0..TIMERS {
        let taken = (0..6_000).any(|_| schedules(&engine, n) || (pause(), false).1);
        assert!(taken, "{n} is refused for ever");
    }
    let stats = engine.stats();
    assert!(stats.spare_failures > 0 && !stats.poisoned, "{stats:?}");
    std::process::exit(ALL_TAKEN)
}

/// Runs a test as a child, through a shell that may say first what becomes of signals.
fn start_child(said_first: &str, test: &str, dir: &Path) -> Output {
    let program = std::env::current_exe().expect("a test has a program");
    let script = format!("{said_first} exec \"$0\" \"$@\"");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).arg(program).args(["--exact", test, "--nocapture"]);
    shell.env(DIR, dir).output().expect("the child starts")
}

/// The numbers of the timers that the child was told are safe.
fn acked(child: &Output) -> Vec<u32> {
    let said = String::from_utf8_lossy(&child.stdout);
    said.lines().filter_map(|line| line.strip_prefix("acked ")?.parse().ok()).collect()
}

#[test]
fn under_a_limit_of_file_size_the_log_goes_on_in_smaller_segments() {
    if let Some(dir) = std::env::var_os(DIR) {
        child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let test = "limits::under_a_limit_of_file_size_the_log_goes_on_in_smaller_segments";
    let child = start_child("trap '' XFSZ;", test, dir.path());
    assert_eq!(child.status.code(), Some(ALL_TAKEN), "{}", String::from_utf8_lossy(&child.stderr));
    let acked = acked(&child);
    let engine = Engine::open(dir.path()).expect("sound");
    assert!(acked.iter().all(|n| engine.by_key(n.to_string()).is_some()));
    assert_eq!((acked.len() as u64, engine.stats().timers), (TIMERS.into(), TIMERS.into()));
}

#[test]
fn the_signal_that_a_limit_of_file_size_sends_is_a_kill_and_loses_nothing_acknowledged() {
    if let Some(dir) = std::env::var_os(DIR) {
        child(Path::new(&dir));
    }
    let dir = tempfile::tempdir().expect("a directory");
    let test = "limits::the_signal_that_a_limit_of_file_size_sends_is_a_kill_and_loses_nothing_acknowledged";
    let child = start_child("", test, dir.path());
    assert_eq!(child.status.signal(), Some(Signal::XFSZ.as_raw()), "{:?}", child.status);
    let acked = acked(&child);
    let engine = Engine::open(dir.path()).expect("sound");
    assert!(acked.len() > 5 && acked.iter().all(|n| engine.by_key(n.to_string()).is_some()));
}
