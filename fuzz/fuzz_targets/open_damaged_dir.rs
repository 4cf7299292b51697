//! A damaged directory is opened with a prefix of the records that counted, and not with fewer than it proves; or it is
//! refused. Either way `verify` says what an opening does, and nothing is changed.
#![no_main]

mod directory;
mod rig;

use directory::{Input, records};
use horolog_recovery::{recover, salvage, verify};
use libfuzzer_sys::fuzz_target;
use rig::options;

fuzz_target!(|input: Input| {
    let history = input.damaged();
    let (before, changes) = (history.disk.image_hash(), history.disk.changes());
    let verified = verify(&*history.disk, &options());
    let recovered = recover(&*history.disk, &options());
    match (&verified, &recovered) {
        (Ok(report), Ok(found)) => {
            assert_eq!(report, &found.report);
            assert!(found.log.durable <= found.log.valid);
            let kept = records(&found.log);
            assert_eq!(kept.len() as u64, found.log.valid.0);
            assert!(history.records.starts_with(&kept), "opened with what never counted");
            assert!((1..).zip(&kept).all(|(lsn, record)| history.ever[&lsn].contains(record)));
            assert!(found.state.timers().all(|timer| history.ids.contains(&timer.id)));
            // What opens needs no repair, and a repair would lose nothing of it.
            let salvaged = salvage(&*history.disk, &options()).expect("it can be read");
            assert_eq!((salvaged.kept.0, salvaged.state.len()), (found.log.valid.0, found.state.len()));
        }
        (Err(verified), Err(refused)) => assert_eq!(verified.to_string(), refused.to_string()),
        _ => panic!("verify and an opening disagree: {verified:?}, {recovered:?}"),
    }
    assert_eq!(
        (history.disk.image_hash(), history.disk.changes()),
        (before, changes),
        "reading writes nothing"
    );
});
