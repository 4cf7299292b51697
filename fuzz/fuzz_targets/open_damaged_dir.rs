//! A damaged directory is opened with a prefix of the records that counted, and not with fewer than it proves; or it is
//! refused. The state is what all of these records make, on whatever snapshot it stands. Either way `verify` says what an
//! opening does, and nothing is changed.
#![no_main]

mod directory;
mod rig;

use directory::{Input, picture, records};
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
            let (before, valid) = (found.log.first_lsn.0 - 1, found.log.valid.0);
            let kept = records(&found.log);
            assert_eq!(before + kept.len() as u64, valid);
            assert!(history.behind(before).starts_with(&kept), "opened with what never counted");
            assert_eq!(picture(&found.state), history.picture_at(valid));
            assert!(found.state.timers().all(|timer| history.ids.contains(&timer.id)));
            // What opens needs no repair, and a repair would lose nothing of it.
            let salvaged = salvage(&*history.disk, &options()).expect("it can be read");
            assert_eq!(salvaged.kept.0, valid);
            assert_eq!(picture(&salvaged.state), picture(&found.state));
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
