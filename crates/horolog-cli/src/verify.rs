//! `horolog verify`: what an opening would say.

use std::path::Path;

use horolog_recovery::Recovered;

use crate::error::Trouble;
use crate::read_only::recovered;
use crate::render::say;

pub(crate) fn verify(dir: &Path) -> Result<u8, Trouble> {
    say(&recovered(dir, |found| describe(dir, &found))?)?;
    Ok(0)
}

fn describe(dir: &Path, found: &Recovered<'_>) -> String {
    let report = found.report;
    let mut text = format!("{}: sound\n{report}\n", dir.display());
    for rotten in &found.rotten {
        text.push_str(&format!("{rotten}: {}; the next one takes its place\n", rotten.why));
    }
    if report.torn_bytes > 0 {
        text.push_str(
            "the torn bytes were never acknowledged: a write that a crash cut short, or one that is going on now\n",
        );
    }
    text
}
