//! The jobs file: what it may say, and where it is wrong.
#![expect(clippy::disallowed_methods, reason = "the jobs file is the user's, not the engine's")]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use horolog::Misfire;
use jiff::{Timestamp, Zoned};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;

use super::duration;

/// Why a jobs file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobsFault {
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}, line {line}: {why}\n  {line} | {text}", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        /// The line itself.
        text: String,
        why: String,
    },
    #[error("{} has no job", path.display())]
    NoJob { path: PathBuf },
}

/// When a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    Every(Duration),
    At(Timestamp),
}

/// A job as its file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) schedule: Schedule,
    pub(super) command: String,
    pub(super) missed: Misfire,
    pub(super) timeout: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileText {
    #[serde(default)]
    job: BTreeMap<Spanned<String>, JobText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobText {
    every: Option<Interval>,
    at: Option<Instant>,
    command: Option<String>,
    #[serde(default)]
    missed: Missed,
    timeout: Option<Interval>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Missed {
    #[default]
    Once,
    Skip,
}

struct Interval(Duration);
struct Instant(Timestamp);

/// Texts with a meaning, so that a wrong one is found where it stands.
struct Text<T>(&'static str, fn(&str) -> Result<T, String>);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        self.1(text).map_err(E::custom)
    }
}

impl<'de> Deserialize<'de> for Interval {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Text("a duration in quotes, as \"7d\"", |text| {
            duration::parse(text).map_err(|bad| bad.to_string())
        });
        from.deserialize_str(text).map(Self)
    }
}

impl<'de> Deserialize<'de> for Instant {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Text("a time in quotes, as \"2026-12-24T18:00:00Z\"", instant);
        from.deserialize_str(text).map(Self)
    }
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let zoned = text.parse::<Zoned>().map(|zoned| zoned.timestamp());
    zoned.or_else(|_| text.parse::<Timestamp>()).map_err(|_| {
        format!(
            "`{text}` is not a time; write for example \"2026-12-24T18:00:00Z\" or \
             \"2026-12-24T18:00:00+01:00[Europe/Berlin]\""
        )
    })
}

/// Reads and checks a jobs file.
pub(super) fn read(path: &Path) -> Result<Vec<Job>, JobsFault> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| JobsFault::Unreadable { path: path.to_owned(), source })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Vec<Job>, JobsFault> {
    let at = |span: Range<usize>, why: String| line_fault(path, text, span, why);
    let file: FileText = toml::from_str(text)
        .map_err(|error| at(error.span().unwrap_or_default(), error.message().to_owned()))?;
    if file.job.is_empty() {
        return Err(JobsFault::NoJob { path: path.to_owned() });
    }
    let jobs = file.job.into_iter().map(|(name, job)| {
        let span = name.span();
        check(name.into_inner(), job).map_err(|why| at(span, why))
    });
    jobs.collect()
}

fn line_fault(path: &Path, text: &str, span: Range<usize>, why: String) -> JobsFault {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let words = text.lines().nth(line - 1).unwrap_or_default().trim().to_owned();
    JobsFault::Line { path: path.to_owned(), line, text: words, why }
}

fn check(name: String, text: JobText) -> Result<Job, String> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        return Err(format!("the name of job `{name}` has to be of letters, digits and `-_.`"));
    }
    let schedule = match (text.every, text.at) {
        (Some(Interval(every)), None) => Schedule::Every(every),
        (None, Some(Instant(at))) => Schedule::At(at),
        (None, None) => return Err(format!("job `{name}` has neither `every` nor `at`")),
        (Some(_), Some(_)) => return Err(format!("job `{name}` has both `every` and `at`, and needs one")),
    };
    let command = text.command.filter(|command| !command.trim().is_empty());
    let command = command.ok_or_else(|| format!("job `{name}` has no `command`"))?;
    let missed = match text.missed {
        Missed::Once => Misfire::FireOnce,
        Missed::Skip => Misfire::Skip,
    };
    Ok(Job { name, schedule, command, missed, timeout: text.timeout.map(|Interval(time)| time) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let told = parse(Path::new("jobs.toml"), text).map(|jobs| jobs.len());
        assert_eq!(told.map_err(|fault| fault.to_string()), Err(expected.to_owned()));
    }

    #[test]
    fn a_whole_job_is_read() {
        let text = "[job.backup]\nevery = \"7d\"\ncommand = \"tar\"\nmissed = \"skip\"\ntimeout = \"2h\"\n";
        let jobs = parse(Path::new("jobs.toml"), text).expect("a good file");
        let expected = Job {
            name: "backup".to_owned(),
            schedule: Schedule::Every(Duration::from_secs(7 * 86_400)),
            command: "tar".to_owned(),
            missed: Misfire::Skip,
            timeout: Some(Duration::from_secs(7_200)),
        };
        assert_eq!(jobs, [expected]);
    }

    #[test]
    fn an_instant_may_have_a_zone() {
        let utc = instant("2026-12-24T18:00:00Z").expect("an instant");
        assert_eq!(instant("2026-12-24T19:00:00+01:00"), Ok(utc));
        assert_eq!(instant("2026-12-24T19:00:00+01:00[Europe/Berlin]"), Ok(utc));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        check(
            "[job.a]\nevery = \"1d\"\ncomand = \"x\"\n",
            "jobs.toml, line 3: unknown field `comand`, expected one of `every`, `at`, `command`, `missed`, \
             `timeout`\n  3 | comand = \"x\"",
        );
    }

    #[test]
    fn a_bad_value_is_shown_with_its_key() {
        check(
            "[job.a]\nevery = \"soon\"\ncommand = \"x\"\n",
            "jobs.toml, line 2: `soon` is not a duration; write for example \"90s\", \"1h 30m\" or \"7d\" (ms, s, m, h, \
             d, w)\n  2 | every = \"soon\"",
        );
        check(
            "[job.a]\nat = 2026-12-24T18:00:00Z\ncommand = \"x\"\n",
            "jobs.toml, line 2: invalid type: map, expected a time in quotes, as \"2026-12-24T18:00:00Z\"\n  2 | at = \
             2026-12-24T18:00:00Z",
        );
    }

    #[test]
    fn a_job_needs_a_time_and_a_command() {
        check(
            "\n[job.a]\ncommand = \"x\"\n",
            "jobs.toml, line 2: job `a` has neither `every` nor `at`\n  2 | [job.a]",
        );
        check("[job.a]\nevery = \"1d\"\n", "jobs.toml, line 1: job `a` has no `command`\n  1 | [job.a]");
        check("", "jobs.toml has no job");
    }
}
