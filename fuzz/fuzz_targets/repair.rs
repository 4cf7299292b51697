//! Of a damaged directory a repair keeps a prefix of the records that counted, or it says why it cannot; it never panics and
//! never writes to the old directory.
//!
//! What it makes can be opened, holds what it says, and gives no id again that was ever handed out.
#![no_main]

mod directory;
mod rig;

use std::convert::Infallible;
use std::sync::Arc;

use directory::{History, Input, picture, records, row};
use horolog_recovery::{RepairError, Salvaged, recover, salvage};
use horolog_sim::SimDisk;
use horolog_state::{ClockReading, Epoch, Lsn, Record, TickLen};
use libfuzzer_sys::fuzz_target;
use rig::options;

fuzz_target!(|input: Input| {
    let history = input.damaged();
    let before = history.disk.image_hash();
    if let Ok(found) = salvage(&*history.disk, &options()) {
        check_kept(&found, &history);
        check_readable(&found, &history);
        check_new(&found, &history);
    }
    assert_eq!(history.disk.image_hash(), before, "the old directory is as it was");
    assert_eq!(history.disk.counts().open_handles, 0, "and nobody has it open");
});

fn check_kept(found: &Salvaged<'_>, history: &History) {
    let mut kept = Vec::new();
    let mut first = found.kept.0 + 1;
    let walked = found.log.for_each_record::<Infallible>(horolog_wal::Lsn(1), &mut |record| {
        first = first.min(record.lsn.0);
        kept.push(row(record.kind, record.body));
        Ok(())
    });
    walked.expect("what was read a moment ago");
    let last = first - 1 + kept.len() as u64;
    match found.snapshot {
        None => {
            assert!(last == found.kept.0 && (kept.is_empty() || first == 1), "a log without its beginning")
        }
        // Where it has seen nothing behind its begin, nothing of the log is needed, and there may be less.
        Some(_) => assert!(last <= found.kept.0),
    }
    assert_eq!(found.state.applied(), found.kept);
    assert!(found.misfit.is_none(), "{:?}", found.misfit);
    assert!(found.last >= found.kept);
    assert!(history.behind(first - 1).starts_with(&kept), "kept what never counted");
    assert_eq!(picture(&found.state), history.picture_at(found.kept.0));
}

fn check_readable(found: &Salvaged<'_>, history: &History) {
    let mut last = 0;
    let walked = found.log.for_each_readable::<Infallible>(horolog_wal::Lsn(0), &mut |record| {
        assert!(record.lsn.0 > last && record.lsn.0 <= found.last.0);
        last = record.lsn.0;
        let written =
            history.ever.get(&last).is_some_and(|ever| ever.contains(&row(record.kind, record.body)));
        assert!(written, "made up");
        Ok(())
    });
    walked.expect("what was read a moment ago");
}

fn check_new(found: &Salvaged<'_>, history: &History) {
    let new = Arc::new(SimDisk::new(2));
    let refused = found.write(new.clone(), &options(), found.kept.next());
    assert!(matches!(refused, Err(RepairError::KeepsLess { .. } | RepairError::NothingKept)));
    assert!(new.files().is_empty());
    if found.kept == Lsn::ZERO {
        return;
    }
    let done = found.write(new.clone(), &options(), found.kept).expect("the disk works");
    let mut again = recover(&*new, &options()).expect("a repaired directory opens");
    let copied = records(&again.log);
    let before = again.log.first_lsn.0 - 1;
    assert_eq!((done.epoch_lsn, done.epoch_lsn.0), (found.kept.next(), before + copied.len() as u64));
    assert!(history.behind(before).starts_with(&copied[..copied.len() - 1]));
    for timer in found.state.timers().filter(|timer| !timer.doomed) {
        assert_eq!(again.state.view(timer.id).expect("it was kept").payload, timer.payload);
    }
    let (tick_len, reading) = (TickLen::MILLISECOND, ClockReading::default());
    let epoch = Epoch { epoch: again.state.epoch() + 1, tick_len, generation_floor: 0, reading };
    let _ = again.state.apply(done.epoch_lsn.next(), &Record::Epoch(epoch)).expect("it opens");
    for _ in 0..40 {
        let id = again.state.slab_mut().reserve().expect("there are enough");
        assert!(!history.ids.contains(&id), "{id} came again");
    }
}
