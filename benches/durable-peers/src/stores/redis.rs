//! `redis-server`: one sorted set, the deadline as score, id and payload as member; `appendfsync always`.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::process::Command;

use super::server::{Line, Server, free_port};
use crate::clock;
use crate::data::{Entry, Loaded, PAYLOAD};
use crate::store::{BULK_BATCH, Caller, Place, Store};

/// The program.
pub(crate) const PROGRAM: &str = "redis-server";

const ID: usize = 8;

struct Redis {
    server: Server,
}

pub(crate) fn open(place: &Place) -> Box<dyn Store> {
    let port = free_port();
    let mut command = Command::new(PROGRAM);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no", "--dir"]);
    command.arg(&place.dir).args(["--appendonly", "yes", "--appendfsync"]);
    command.arg(if place.is_synced { "always" } else { "no" });
    // No snapshot and no rewrite sets in by itself in the middle of a row.
    command.args(["--save", "", "--auto-aof-rewrite-percentage", "0", "--loglevel", "warning"]);
    let server = Server::start(&mut command, port);
    let mut line = server.connect();
    while !ask(&mut line, &[b"PING"]).starts_with('+') {
        clock::pause(); // it is loading
    }
    Box::new(Redis { server })
}

fn push_command(line: &mut Line, parts: &[&[u8]]) {
    line.push_text(format_args!("*{}\r\n", parts.len()));
    for part in parts {
        line.push_text(format_args!("${}\r\n", part.len()));
        line.push(part);
        line.push(b"\r\n");
    }
}

/// A command whose answer is one line.
fn ask(line: &mut Line, parts: &[&[u8]]) -> String {
    push_command(line, parts);
    line.send();
    line.read_line().to_owned()
}

/// A command whose answer is a string; `None` if it is not there.
fn ask_string(line: &mut Line, parts: &[&[u8]]) -> Option<String> {
    let head = ask(line, parts);
    let len = head.strip_prefix('$')?.parse().ok()?;
    String::from_utf8(line.read_body(len)).ok()
}

fn member(entry: &Entry) -> [u8; ID + PAYLOAD] {
    let mut member = [0; ID + PAYLOAD];
    let (id, payload) = member.split_at_mut(ID);
    id.copy_from_slice(&entry.id.to_be_bytes());
    payload.copy_from_slice(&entry.payload);
    member
}

impl Store for Redis {
    fn caller(&self) -> Box<dyn Caller + '_> {
        Box::new(RedisLine(self.server.connect()))
    }

    fn load(&self) -> Loaded {
        let count = ask(&mut self.server.connect(), &[b"ZCARD", b"timers"]);
        Loaded::Counted(count.trim_start_matches(':').parse().expect("a number"))
    }

    fn holds(&self, _: u64, entry: &Entry) -> bool {
        let score = ask_string(&mut self.server.connect(), &[b"ZSCORE", b"timers", &member(entry)]);
        score.is_some_and(|score| score == entry.deadline_ms.to_string())
    }

    /// A transaction, which is written to the log as a whole.
    fn bulk_once(&self, entries: &[Entry]) {
        let mut line = self.server.connect();
        assert_eq!(ask(&mut line, &[b"MULTI"]), "+OK");
        for batch in entries.chunks(BULK_BATCH) {
            push_timers(&mut line, batch);
            line.send();
            assert_eq!(line.read_line(), "+QUEUED");
        }
        let answers = ask(&mut line, &[b"EXEC"]);
        assert_eq!(answers, format!("*{}", entries.len().div_ceil(BULK_BATCH)));
        entries
            .chunks(BULK_BATCH)
            .for_each(|batch| assert_eq!(line.read_line(), format!(":{}", batch.len())));
    }

    /// The log becomes a snapshot, which is loaded sooner.
    fn tidy(&self) {
        let mut line = self.server.connect();
        ask(&mut line, &[b"BGREWRITEAOF"]);
        let is_over = |info: String| {
            info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
        };
        while !ask_string(&mut line, &[b"INFO", b"persistence"]).is_some_and(is_over) {
            clock::pause();
        }
    }
}

/// One command for all, so that there is one sync for all.
fn push_timers(line: &mut Line, entries: &[Entry]) {
    line.push_text(format_args!("*{}\r\n$4\r\nZADD\r\n$6\r\ntimers\r\n", 2 + 2 * entries.len()));
    for entry in entries {
        let score = entry.deadline_ms.to_string();
        let member = member(entry);
        line.push_text(format_args!("${}\r\n{score}\r\n${}\r\n", score.len(), member.len()));
        line.push(&member);
        line.push(b"\r\n");
    }
}

struct RedisLine(Line);

impl RedisLine {
    fn add(&mut self, entries: &[Entry]) {
        push_timers(&mut self.0, entries);
        self.0.send();
        let added = self.0.read_line();
        assert_eq!(added.strip_prefix(':'), Some(&*entries.len().to_string()), "{added}");
    }
}

impl Caller for RedisLine {
    fn schedule(&mut self, entry: &Entry) -> u64 {
        self.add(std::slice::from_ref(entry));
        entry.id
    }

    fn batch(&mut self, entries: &[Entry]) {
        self.add(entries);
    }
}
