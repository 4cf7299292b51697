//! What the log's reader says of a directory, as the text that stands beside a golden directory.

use std::fmt::Write;

use horolog_storage::Storage;
use horolog_wal::{LogError, LogState, LogView, Lsn, SnapshotRef, VisitError, read_log};

use crate::owner::options;

/// Everything that is read: no fact of the view is left out.
pub(crate) fn text(storage: &dyn Storage) -> String {
    match read_log(storage, &options(0)) {
        Ok(view) => facts(&view),
        Err(error) => format!("refused: {error}\n"),
    }
}

fn facts(view: &LogView<'_>) -> String {
    let mut text = String::new();
    let state = match view.state {
        LogState::Empty => "empty",
        LogState::Log => "log",
    };
    let yes = |is_so| if is_so { "yes" } else { "no" };
    let _ = writeln!(text, "state: {state}\nuuid: {:032x}\nepoch: {}", view.uuid, view.epoch);
    let _ = writeln!(text, "meta_bad_slots: {}", view.meta_bad_slots);
    let _ = writeln!(text, "first: {}\ndurable: {}\nvalid: {}", view.first_lsn, view.durable, view.valid);
    let _ = writeln!(text, "torn_bytes: {}\nclean: {}", view.torn_bytes, yes(view.clean));
    let _ = writeln!(text, "engine_tick: {}", view.engine_tick);
    for it in &view.segments {
        let lsns = match (it.first_lsn, it.last_lsn) {
            (Some(first), Some(last)) => format!("LSN {first} to {last}"),
            _ => String::from("no records"),
        };
        let _ = writeln!(
            text,
            "segment {} ({}): {:?}, epoch {}, {} batches, {lsns}, {} of {} bytes, sealed: {}",
            it.id,
            it.name,
            it.role,
            it.epoch,
            it.batches,
            it.end_offset,
            it.capacity_bytes,
            yes(it.sealed),
        );
    }
    let mut stands = view.first_lsn <= Lsn(1);
    for it in view.snapshots() {
        let trouble = trouble(view, &it);
        stands |= trouble.is_none();
        let _ = writeln!(
            text,
            "snapshot {}: as of {} to {}, {} bytes, {} sections: {}",
            it.id,
            it.begin,
            it.end,
            it.bytes,
            it.sections,
            trouble.as_deref().unwrap_or("whole"),
        );
    }
    if !stands {
        let _ = writeln!(text, "incomplete: the log begins later, and no snapshot is whole");
    }
    view.for_each_record::<()>(Lsn(1), &mut |it| {
        let (len, at) = (it.body.len(), it.offset);
        let _ = writeln!(
            text,
            "record {}: kind {:#04x}, flags {}, {len} bytes, segment {} at {at}",
            it.lsn, it.kind, it.flags, it.segment
        );
        Ok(())
    })
    .expect("a view that was just made");
    text
}

/// What is wrong with a snapshot.
fn trouble(view: &LogView<'_>, snapshot: &SnapshotRef) -> Option<String> {
    match view.for_each_section(snapshot, &mut |_| Ok::<(), ()>(())) {
        Ok(()) => None,
        Err(VisitError::Log(LogError::SnapshotDamaged { damage, .. })) => Some(damage.to_string()),
        Err(error) => panic!("{error:?}"),
    }
}
