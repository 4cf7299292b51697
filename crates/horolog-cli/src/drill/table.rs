//! The result of a drill, for people and for programs.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use super::figures::Summary;
use super::verdict::Counts;
use crate::render::{Facts, bytes, count, duration};
use crate::spread::Spread;

/// Violations that are listed.
const LISTED_MAX: usize = 20;

/// Everything a drill found out. The names are those of the JSON output.
#[derive(Debug, Serialize)]
pub(super) struct Outcome<'a> {
    pub(super) held: bool,
    pub(super) seed: u64,
    pub(super) timers: u64,
    pub(super) kills: u32,
    pub(super) took_ms: u64,
    pub(super) dir: Option<&'a Path>,
    pub(super) dir_bytes: u64,
    pub(super) dead: u64,
    #[serde(flatten)]
    pub(super) counts: Counts,
    #[serde(flatten)]
    pub(super) summary: Summary,
    pub(super) violations_total: u64,
    pub(super) violations: Vec<String>,
}

impl Outcome<'_> {
    pub(super) fn json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    pub(super) fn text(&self) -> String {
        let mut text = self.facts().render();
        text.push('\n');
        if self.held {
            text.push_str("Every promise held: none lost, none early, none completed or cancelled and delivered again.\n");
        } else {
            text.push_str(&format!("{} broken promises:\n", count(self.violations_total)));
            let listed = self.violations.iter().take(LISTED_MAX);
            text.extend(listed.map(|violation| format!("  {}\n", violation.replace('\n', "\n    "))));
            let rest = self.violations_total.saturating_sub(LISTED_MAX as u64);
            if rest > 0 {
                text.push_str(&format!("  … and {} more\n", count(rest)));
            }
            text.push_str(&format!("Run it again with --seed {} --dir DIR to keep the files.\n", self.seed));
        }
        text
    }

    fn facts(&self) -> Facts {
        let Counts { scheduled, deliveries, redeliveries, completed, cancelled, .. } = self.counts;
        let mut facts = Facts::default();
        facts.row("kills", format!("{} (seed {}, {} in all)", self.kills, self.seed, ms(self.took_ms)));
        facts.row(
            "timers scheduled",
            format!("{}  {}/s at full load", count(scheduled), count(self.summary.scheduled_per_s)),
        );
        facts.row("deliveries", format!("{}  {} of them again", count(deliveries), count(redeliveries)));
        facts.row("completed", count(completed));
        facts.row(
            "cancelled",
            format!("{}  {} came too late", count(cancelled), count(self.counts.cancels_too_late)),
        );
        facts.row("rescheduled", count(self.counts.rescheduled));
        facts.row("given back", format!("{}  {} given up", count(self.counts.given_back), count(self.dead)));
        facts.row("atomic batches", count(self.counts.batches));
        facts.row("lateness at full load", spread(&self.summary.lateness_full_load));
        facts.row("lateness in calm lives", spread(&self.summary.lateness_at_ease));
        facts.row("lateness over a crash", spread(&self.summary.lateness_missed));
        facts.row("opening", opening(&self.summary.open));
        facts.row("directory", bytes(self.dir_bytes));
        if let Some(dir) = self.dir {
            facts.row("left in", dir.display().to_string());
        }
        facts
    }
}

fn ms(ms: u64) -> String {
    duration(Duration::from_millis(ms))
}

fn ns(ns: u64) -> String {
    duration(Duration::from_nanos(ns))
}

fn spread(of: &Spread) -> String {
    format!("p50 {}  p99 {}  max {}  of {}", ns(of.p50_ns), ns(of.p99_ns), ns(of.max_ns), count(of.count))
}

fn opening(of: &Spread) -> String {
    format!("min {}  median {}  max {}  of {}", ns(of.min_ns), ns(of.p50_ns), ns(of.max_ns), count(of.count))
}
