//! Which segments the log consists of, when META cannot be trusted to say it and some of them are gone.
//!
//! From the newest segment that was ever the log's newest, back along the LINKs; over a gap, from the newest one before it.
//! What lies aside was superseded: what counted of it was copied forward.

use super::survey::Survey;
use crate::format::meta::{Meta, MetaState};
use crate::lsn::Lsn;
use crate::read::chain::Boundary;

/// A segment of the log, present or not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Its number.
    pub(super) id: u64,
    /// Its place among the surveys; `None` if it is missing.
    pub(super) at: Option<usize>,
    /// Where its successor continues it; `None` if no LINK says so.
    pub(super) end: Option<Boundary>,
}

/// The segments of the log, oldest first.
pub(super) fn trunk(surveys: &[Survey], meta: Option<&Meta>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut next = newest(surveys, meta, u64::MAX);
    // Each LINK names a lower id than its own, and so does each look beyond a gap: this ends.
    while let Some(step) = next {
        steps.push(step);
        let link = step.at.and_then(|at| surveys.get(at)).and_then(|survey| survey.link);
        next = match link.map(|link| Boundary::named_by(&link)) {
            // The first of a log: nothing was ever before it, or a snapshot has it.
            Some(Boundary { segment: 0, .. }) => None,
            Some(end) => {
                let at = surveys.iter().position(|survey| survey.found.id == end.segment);
                Some(Step { id: end.segment, at, end: Some(end) })
            }
            None => newest(surveys, meta, step.id),
        };
    }
    steps.reverse();
    steps
}

/// The part of the log that goes on behind `base`, which somebody else holds: without the segments that end before it.
pub(super) fn behind(mut steps: Vec<Step>, surveys: &[Survey], base: Lsn) -> Vec<Step> {
    let begins_before = |step: &Step| {
        let link = step.at.and_then(|at| surveys.get(at)).and_then(|survey| survey.link);
        link.is_some_and(|link| link.prev_last_lsn <= base)
    };
    let first = steps.iter().rposition(begins_before).filter(|_| base > Lsn::ZERO);
    steps.drain(..first.unwrap_or(0));
    steps
}

/// The newest segment below `below` that was ever the log's newest.
fn newest(surveys: &[Survey], meta: Option<&Meta>, below: u64) -> Option<Step> {
    let mut candidates = surveys.iter().enumerate().rev().filter(|(_, survey)| survey.has_batches);
    let (at, survey) = candidates.find(|(at, survey)| {
        let is_last = below == u64::MAX && !surveys.iter().skip(at + 1).any(|later| later.has_batches);
        survey.found.id < below && (survey.is_confirmed || is_called_head(survey, meta, is_last))
    })?;
    Some(Step { id: survey.found.id, at: Some(at), end: None })
}

/// Whether an opening or a healing that wrote nothing more was complete: META says so. Without META it is taken for
/// complete if nothing came after it. It says the same as the segment that it continues, but for what a
/// power cut took from that one since.
fn is_called_head(survey: &Survey, meta: Option<&Meta>, is_last: bool) -> bool {
    match meta.filter(|meta| meta.state == MetaState::Active) {
        Some(meta) => meta.head_segment == survey.found.id,
        None => is_last,
    }
}
