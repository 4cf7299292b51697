//! A bar while a directory is read. It is drawn on a terminal only, and gone when the reading is over.

use horolog::{Progress, RecoveryStep};
use indicatif::{ProgressBar, ProgressStyle};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct RecoveryBar(ProgressBar);

impl RecoveryBar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    pub(crate) fn show(&self, progress: Progress) {
        if progress.done == 0 {
            self.0.set_message(words(progress.step));
        }
        self.0.set_length(progress.total.max(1));
        self.0.set_position(progress.done);
    }

    pub(crate) fn end(&self) {
        self.0.finish_and_clear();
    }
}

fn words(step: RecoveryStep) -> &'static str {
    match step {
        RecoveryStep::Check => "checking the log",
        RecoveryStep::Snapshot => "loading the snapshot",
        RecoveryStep::Replay => "applying records",
    }
}
