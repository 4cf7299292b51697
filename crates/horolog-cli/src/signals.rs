//! SIGINT and SIGTERM as messages.

use crossbeam_channel::{Receiver, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::error::Trouble;

/// One message a signal.
pub(crate) fn stop_requests() -> Result<Receiver<()>, Trouble> {
    let failed = |source| Trouble::System { what: "listen to signals", source };
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(failed)?;
    let (sender, receiver) = unbounded();
    let listen = move || {
        for _ in signals.forever() {
            if sender.send(()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("horolog-signals".to_owned()).spawn(listen).map_err(failed)?;
    Ok(receiver)
}
