//! `beanstalkd -f0`: a job with a delay for each timer. It syncs after each put; a batch is many puts on their way at
//! once.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::process::Command;

use super::server::{Line, Server, free_port};
use crate::clock;
use crate::data::{Entry, Loaded};
use crate::store::{Caller, Place, Store};

/// The program.
pub(crate) const PROGRAM: &str = "beanstalkd";

struct Beanstalkd {
    server: Server,
}

pub(crate) fn open(place: &Place) -> Box<dyn Store> {
    let port = free_port();
    let mut command = Command::new(PROGRAM);
    command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-b"]).arg(&place.dir);
    command.arg(if place.is_synced { "-f0" } else { "-F" });
    let server = Server::start(&mut command, port);
    ask(&mut server.connect(), "stats"); // it answers when it has read its log
    Box::new(Beanstalkd { server })
}

/// The body of an answer; empty if the server says that there is none.
fn ask(line: &mut Line, request: &str) -> String {
    line.push_text(format_args!("{request}\r\n"));
    line.send();
    let head = line.read_line();
    if head == "NOT_FOUND" {
        return String::new();
    }
    let len = head.rsplit(' ').next().and_then(|len| len.parse().ok()).expect("the length of the body");
    String::from_utf8_lossy(&line.read_body(len)).into_owned()
}

/// A number of an answer in YAML.
fn number(answer: &str, name: &str) -> u64 {
    let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

fn delay_s(entry: &Entry) -> u64 {
    entry.deadline_ms.saturating_sub(clock::unix_ms()).div_ceil(1_000)
}

impl Store for Beanstalkd {
    fn caller(&self) -> Box<dyn Caller + '_> {
        Box::new(BeanstalkdLine(self.server.connect()))
    }

    fn load(&self) -> Loaded {
        let stats = ask(&mut self.server.connect(), "stats");
        Loaded::Counted(number(&stats, "current-jobs-delayed") + number(&stats, "current-jobs-ready"))
    }

    /// The deadline is a whole second, and two clocks may round it to two.
    fn holds(&self, name: u64, entry: &Entry) -> bool {
        let mut line = self.server.connect();
        line.push_text(format_args!("peek {name}\r\n"));
        line.send();
        if !line.read_line().starts_with("FOUND") {
            return false;
        }
        let payload = line.read_body(entry.payload.len());
        let left = number(&ask(&mut line, &format!("stats-job {name}")), "time-left");
        payload == entry.payload && left.abs_diff(delay_s(entry)) <= 2
    }
}

struct BeanstalkdLine(Line);

impl BeanstalkdLine {
    fn push_put(&mut self, entry: &Entry) {
        self.0.push_text(format_args!("put 0 {} 60 {}\r\n", delay_s(entry), entry.payload.len()));
        self.0.push(&entry.payload);
        self.0.push(b"\r\n");
    }

    fn read_name(&mut self) -> u64 {
        let answer = self.0.read_line();
        answer.strip_prefix("INSERTED ").and_then(|name| name.parse().ok()).expect("a job is taken")
    }
}

impl Caller for BeanstalkdLine {
    fn schedule(&mut self, entry: &Entry) -> u64 {
        self.push_put(entry);
        self.0.send();
        self.read_name()
    }

    fn batch(&mut self, entries: &[Entry]) {
        entries.iter().for_each(|entry| self.push_put(entry));
        self.0.send();
        entries.iter().for_each(|_| _ = self.read_name());
    }
}
