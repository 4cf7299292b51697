//! A server of the bench's own, and a line to it over a loopback socket.
#![expect(clippy::expect_used, reason = "a bench stops at the first error")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock;

/// Who does not answer for so long has hung.
const PATIENCE: Duration = Duration::from_secs(600);

/// A port that nobody listens on now.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    listener.local_addr().expect("an address").port()
}

/// A running server; dropping it ends it in order, and waits for that.
pub(super) struct Server {
    child: Child,
    port: u16,
}

impl Server {
    pub(super) fn start(command: &mut Command, port: u16) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        Self { child: command.spawn().expect("the server starts"), port }
    }

    /// A connection. A server that is not up yet is waited for.
    pub(super) fn connect(&self) -> Line {
        let begin = clock::now();
        loop {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
            if stream.is_ok() || clock::now().duration_since(begin) > PATIENCE {
                return Line::new(stream.expect("the server listens at last"));
            }
            clock::pause();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do but to fetch its status.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// A connection: requests are gathered and sent in one write, answers are read line by line.
pub(super) struct Line {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    answer: String,
}

impl Line {
    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
        Self { stream: BufReader::new(stream), request: Vec::new(), answer: String::new() }
    }

    /// Adds to the request that is sent next.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.request.extend_from_slice(bytes);
    }

    pub(super) fn push_text(&mut self, text: std::fmt::Arguments<'_>) {
        self.request.write_fmt(text).expect("memory takes it");
    }

    pub(super) fn send(&mut self) {
        self.stream.get_mut().write_all(&self.request).expect("sent");
        self.request.clear();
    }

    /// The next line of the answer, without its end.
    pub(super) fn read_line(&mut self) -> &str {
        self.answer.clear();
        let bytes = self.stream.read_line(&mut self.answer).expect("an answer");
        assert!(bytes > 0, "the server has hung up");
        self.answer.trim_end()
    }

    /// The next bytes of the answer, and the end of line behind them.
    pub(super) fn read_body(&mut self, len: usize) -> Vec<u8> {
        let mut body = vec![0; len + 2];
        self.stream.read_exact(&mut body).expect("an answer");
        body.truncate(len);
        body
    }
}
