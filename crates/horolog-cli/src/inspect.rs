//! `horolog inspect`: what is in a directory.

use std::fmt::Write as _;
use std::path::Path;

use horolog::Phase;
use horolog_recovery::Recovered;
use horolog_state::{State, TimerView};
use horolog_wal::{LogState, SegmentReport};

use crate::error::Trouble;
use crate::present::Present;
use crate::read_only::recovered;
use crate::render::{Facts, bytes, count, instant, payload, say, table};

/// Rows of the lists of timers at most.
const LISTED_MAX: usize = 10;

pub(crate) fn inspect(dir: &Path) -> Result<u8, Trouble> {
    say(&recovered(dir, |found| describe(dir, &found))?)?;
    Ok(0)
}

fn describe(dir: &Path, found: &Recovered<'_>) -> String {
    let mut text = log_facts(dir, found);
    if found.log.state == LogState::Empty {
        text.push_str("\nnothing was ever acknowledged here\n");
        return text;
    }
    text.push('\n');
    text.push_str(&segments(&found.log.segments));
    text.push('\n');
    text.push_str(&timer_facts(&found.state));
    text.push_str(&next_due(&found.state));
    text.push_str(&dead_letters(&found.state));
    text
}

fn log_facts(dir: &Path, Recovered { log, rotten, .. }: &Recovered<'_>) -> String {
    let mut facts = Facts::default();
    facts.row("directory", dir.display().to_string());
    facts.row("log", format!("{:032x}", log.uuid));
    facts.row("openings", count(log.epoch));
    facts.row("records durable (D)", count(log.durable.0));
    facts.row("records readable (V)", count(log.valid.0));
    facts.row("first record kept", count(log.first_lsn.0));
    for snapshot in log.snapshots() {
        let rotten = rotten.iter().find(|it| it.snapshot == snapshot.id);
        let state = rotten.map_or("usable".to_owned(), |it| format!("cannot be used: {}", it.why));
        let (begin, size) = (count(snapshot.begin.0), bytes(snapshot.bytes));
        facts.row("snapshot", format!("{} at record {begin}, {size}, {state}", snapshot.id));
    }
    facts.row("torn bytes", count(log.torn_bytes));
    facts.row("bad META slots", count(u64::from(log.meta_bad_slots)));
    facts.row("last shutdown", if log.clean { "in order" } else { "none, or the directory is in use" });
    facts.render()
}

fn segments(segments: &[SegmentReport]) -> String {
    let lsn = |lsn: Option<horolog_wal::Lsn>| lsn.map_or("-".to_owned(), |lsn| lsn.to_string());
    let row = |segment: &SegmentReport| {
        vec![
            segment.name.clone(),
            format!("{:?}", segment.role).to_lowercase(),
            segment.epoch.to_string(),
            segment.batches.to_string(),
            lsn(segment.first_lsn),
            lsn(segment.last_lsn),
            bytes(segment.end_offset),
            bytes(segment.capacity_bytes),
        ]
    };
    let heading = ["segment", "role", "epoch", "batches", "first LSN", "last LSN", "used", "size"];
    table(&heading, &segments.iter().map(row).collect::<Vec<_>>())
}

fn timer_facts(state: &State) -> String {
    let phase = |phase: Phase| count(state.timers().filter(|timer| timer.phase == phase).count() as u64);
    let totals = state.totals();
    let mut facts = Facts::default();
    facts.row("timers", count(state.len() as u64));
    facts.row("  waiting", phase(Phase::Waiting));
    facts.row("  in flight", phase(Phase::Leased));
    facts.row("  dead", phase(Phase::Dead));
    facts.row("scheduled so far", count(totals.scheduled));
    facts.row("delivered", count(totals.deliveries));
    facts.row("completed", count(totals.completed));
    facts.row("failed deliveries", count(totals.failures));
    facts.row("cancelled", count(totals.cancelled));
    facts.row("passed over", count(totals.skipped_misfire + totals.skipped_overlap + totals.coalesced));
    facts.render()
}

fn next_due(state: &State) -> String {
    let present = Present::of(state);
    let mut waiting: Vec<(u128, TimerView<'_>)> = state
        .timers()
        .filter(|timer| timer.phase == Phase::Waiting)
        .map(|timer| (present.unix_ns(timer.due), timer))
        .collect();
    if waiting.is_empty() {
        return String::new();
    }
    waiting.sort_unstable_by_key(|(due, timer)| (*due, timer.id));
    let shown = waiting.iter().take(LISTED_MAX);
    let rows: Vec<_> = shown.map(|(due, timer)| timer_row(*due, timer, &present)).collect();
    let mut text = String::from("\n");
    text.push_str(&table(&["timer", "due", "tries", "key", "payload"], &rows));
    more(&mut text, waiting.len());
    text
}

fn timer_row(due: u128, timer: &TimerView<'_>, present: &Present) -> Vec<String> {
    let late = if present.has_reached(timer.due) { " (past)" } else { "" };
    vec![
        timer.id.to_string(),
        format!("{}{late}", instant(due)),
        timer.deliveries.to_string(),
        payload(timer.key),
        cut(payload(timer.payload)),
    ]
}

fn dead_letters(state: &State) -> String {
    let letters: Vec<Vec<String>> = state
        .dead_letters()
        .map(|(id, letter)| {
            let timer = state.view(id);
            vec![
                id.to_string(),
                format!("{:?}", letter.reason).to_lowercase(),
                letter.deliveries.to_string(),
                timer.map_or_else(String::new, |timer| payload(timer.key)),
                cut(letter.message.replace('\n', " ")),
            ]
        })
        .collect();
    if letters.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n");
    let shown: Vec<_> = letters.iter().take(LISTED_MAX).cloned().collect();
    text.push_str(&table(&["dead", "reason", "tries", "key", "last words"], &shown));
    more(&mut text, letters.len());
    text
}

fn more(text: &mut String, len: usize) {
    if len > LISTED_MAX {
        let _ = writeln!(text, "… and {} more", count((len - LISTED_MAX) as u64));
    }
}

fn cut(text: String) -> String {
    const CHARS_MAX: usize = 48;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
