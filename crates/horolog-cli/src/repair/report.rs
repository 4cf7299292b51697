//! What a repair says, for people or as JSON.

use std::io::{BufWriter, Stdout, Write};
use std::path::Path;

use horolog_recovery::{Repaired, Salvaged};
use horolog_state::{Lookup, Lsn, State, TimerId, TimerView};
use horolog_wal::{SalvageRole, SalvagedSegment};
use serde_json::{Value, json};

use super::lost::{Lost, Sum, for_each};
use crate::dump::{bytes, due, object, text_line};
use crate::error::Trouble;
use crate::present::Present;
use crate::render::{count, instant, payload, table};

/// Where the report goes.
pub(super) struct Report {
    out: BufWriter<Stdout>,
    json: bool,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { out: BufWriter::new(std::io::stdout()), json }
    }

    fn line(&mut self, text: &str) -> Result<(), Trouble> {
        writeln!(self.out, "{text}").map_err(Trouble::Output)
    }

    /// Either of both, as was asked for.
    fn say(&mut self, text: impl FnOnce() -> String, json: impl FnOnce() -> Value) -> Result<(), Trouble> {
        let line = if self.json { json().to_string() } else { text() };
        self.line(&line)
    }

    fn flush(&mut self) -> Result<(), Trouble> {
        self.out.flush().map_err(Trouble::Output)
    }

    /// What is in the old directory, what of it can be kept, and what is lost.
    pub(super) fn found(&mut self, dir: &Path, found: &Salvaged<'_>) -> Result<(), Trouble> {
        self.damage(dir, found)?;
        self.segments(&found.log.segments)?;
        self.kept(found)?;
        let sum = for_each(dir, found, &mut |lost| self.lost(&lost))?;
        self.timers(found, &sum)?;
        self.flush()
    }

    fn damage(&mut self, dir: &Path, found: &Salvaged<'_>) -> Result<(), Trouble> {
        let misfit = found.misfit.iter().map(ToString::to_string);
        let damage: Vec<String> = found.log.damage.iter().map(ToString::to_string).chain(misfit).collect();
        if !self.json {
            let none = if damage.is_empty() { ": no damage" } else { "" };
            self.line(&format!("{}{none}", dir.display()))?;
        }
        for damage in damage {
            self.say(|| format!("  {damage}"), || json!({ "what": "damage", "damage": damage }))?;
        }
        Ok(())
    }

    fn segments(&mut self, segments: &[SalvagedSegment]) -> Result<(), Trouble> {
        if self.json {
            return segments.iter().try_for_each(|segment| {
                let json = json!({
                    "what": "segment",
                    "name": segment.name,
                    "role": role(segment.role),
                    "kept": segment.kept.map(|(first, last)| [first.0, last.0]),
                    "behind": segment.behind.map(|(first, last)| [first.0, last.0]),
                });
                self.line(&json.to_string())
            });
        }
        let range = |range: Option<(horolog_wal::Lsn, horolog_wal::Lsn)>| match range {
            Some((first, last)) => format!("{first} to {last}"),
            None => "-".to_owned(),
        };
        let row = |segment: &SalvagedSegment| {
            let role = role(segment.role).to_owned();
            vec![segment.name.clone(), role, range(segment.kept), range(segment.behind)]
        };
        let rows: Vec<_> = segments.iter().map(row).collect();
        self.line(&format!("\n{}", table(&["segment", "role", "LSN kept", "readable behind a gap"], &rows)))
    }

    fn kept(&mut self, found: &Salvaged<'_>) -> Result<(), Trouble> {
        let (kept, last, timers) = (found.kept, found.last, found.state.len());
        let evidence = found.log.evidence.filter(|evidence| evidence.durable.0 > kept.0);
        self.say(
            || match kept {
                Lsn::ZERO => "kept: nothing".to_owned(),
                kept => {
                    let on = found.snapshot.map_or(String::new(), |it| format!(", on snapshot {it}"));
                    format!("kept: {}, {} timers{on}", range(Lsn(1), kept), count(timers as u64))
                }
            },
            || json!({ "what": "kept", "last": kept.0, "timers": timers, "snapshot": found.snapshot }),
        )?;
        self.say(
            || match evidence {
                _ if last == kept => "lost: nothing that has left a trace".to_owned(),
                Some(evidence) => format!("lost: {} ({evidence})", range(kept.next(), last)),
                None => format!("lost: {} (never proven durable)", range(kept.next(), last)),
            },
            || {
                json!({
                    "what": "lost",
                    "first": (last > kept).then_some(kept.0 + 1),
                    "last": (last > kept).then_some(last.0),
                    "evidence": evidence.map(|evidence| evidence.to_string()),
                })
            },
        )
    }

    fn lost(&mut self, lost: &Lost<'_>) -> Result<(), Trouble> {
        match lost {
            Lost::Unreadable(first, last) => self.say(
                || format!("  {}: unreadable", range(*first, *last)),
                || json!({ "what": "unreadable", "first": first.0, "last": last.0 }),
            ),
            Lost::Record(record) => self.say(
                || format!("  {}", text_line(record).trim_start()),
                || {
                    let mut line = serde_json::Map::from_iter([("what".to_owned(), "record".into())]);
                    line.extend(object(record));
                    Value::Object(line)
                },
            ),
        }
    }

    /// The timers whose fate is in doubt.
    fn timers(&mut self, found: &Salvaged<'_>, sum: &Sum) -> Result<(), Trouble> {
        let present = Present::of(&found.state);
        if !sum.timers.is_empty() && !self.json {
            self.line(&format!("\ntimers that lost records name, as they were at LSN {}:", found.kept))?;
        }
        for (id, records) in &sum.timers {
            let timer = found.state.view(*id);
            let lost: Vec<String> = records.iter().map(|(lsn, kind)| format!("LSN {lsn} {kind}")).collect();
            self.say(
                || {
                    let was =
                        timer.map_or_else(|| not_live(&found.state, *id), |timer| was(&timer, &present));
                    format!("  {id} {was}; lost: {}", lost.join(", "))
                },
                || timer_json(*id, timer.as_ref(), records),
            )?;
        }
        if sum.unreadable == 0 {
            return Ok(());
        }
        let (unreadable, kept) = (sum.unreadable, found.state.len());
        self.say(
            || {
                let subject = match unreadable {
                    1 => "one lost record cannot be read: it".to_owned(),
                    many => format!("{} lost records cannot be read: each", count(many)),
                };
                format!(
                    "\n{subject} may be about any of the {} timers kept, or about one that nothing names",
                    count(kept as u64)
                )
            },
            || json!({ "what": "in doubt", "unreadable": unreadable, "timers": kept }),
        )
    }

    pub(super) fn written(
        &mut self,
        to: &Path,
        found: &Salvaged<'_>,
        done: &Repaired,
    ) -> Result<(), Trouble> {
        let Repaired { uuid, epoch_lsn, generation_floor } = *done;
        self.say(
            || {
                format!(
                    "\n{} is a log of its own, {uuid:032x}: {} as before, and the repair itself as LSN {epoch_lsn}\n\
                     new timers get generations above {generation_floor}, so that no lost id is given again",
                    to.display(),
                    range(Lsn(1), found.kept),
                )
            },
            || {
                json!({
                    "what": "written",
                    "dir": to.display().to_string(),
                    "log": format!("{uuid:032x}"),
                    "last": epoch_lsn.0,
                    "generation_floor": generation_floor,
                })
            },
        )?;
        self.flush()
    }
}

fn range(first: Lsn, last: Lsn) -> String {
    if first == last { format!("LSN {first}") } else { format!("LSN {first} to {last}") }
}

fn role(role: SalvageRole) -> &'static str {
    match role {
        SalvageRole::Log => "log",
        SalvageRole::Blank => "blank",
        SalvageRole::Unreadable => "unreadable",
        _ => "aside",
    }
}

fn was(timer: &TimerView<'_>, present: &Present) -> String {
    let mut text = format!("{}, due {}", phase(timer), instant(present.unix_ns(timer.due)));
    if !timer.key.is_empty() {
        text.push_str(&format!(", key {}", payload(timer.key)));
    }
    text.push_str(&format!(", payload {}", payload(timer.payload)));
    text
}

fn phase(timer: &TimerView<'_>) -> String {
    format!("{:?}", timer.phase).to_lowercase()
}

fn not_live(state: &State, id: TimerId) -> String {
    let had_ended = state.slab().lookup(id) == Lookup::Ended;
    if had_ended { "had ended" } else { "was not there yet" }.to_owned()
}

fn timer_json(id: TimerId, timer: Option<&TimerView<'_>>, records: &[(Lsn, String)]) -> Value {
    let records: Vec<Value> =
        records.iter().map(|(lsn, kind)| json!({ "lsn": lsn.0, "kind": kind })).collect();
    let was = timer.map(|timer| {
        json!({
            "phase": phase(timer),
            "due": due(timer.due),
            "key": bytes(timer.key),
            "payload": bytes(timer.payload),
        })
    });
    json!({ "what": "timer", "id": id.to_string(), "was": was, "lost": records })
}
