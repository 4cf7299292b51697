//! From a trace that breaks a promise to the smallest one that breaks the same.

use super::step::Step;
use super::verdict::{Invariant, Violation};

/// So many runs are tried at most.
const TRIES_MAX: u32 = 20_000;

/// Runs a trace; what it breaks, if anything.
type Breaks<'a> = &'a dyn Fn(&[Step]) -> Option<Box<Violation>>;

/// A trace that fails, and how.
struct Search<'a> {
    breaks: Breaks<'a>,
    steps: Vec<Step>,
    invariant: Invariant,
    violation: Box<Violation>,
    tries: u32,
}

/// Leaves out steps, in ever smaller pieces, then makes numbers smaller, until neither gets anywhere. The violation is `None`
/// if the steps break nothing.
pub(crate) fn shrink(steps: Vec<Step>, breaks: Breaks<'_>) -> (Vec<Step>, Option<Box<Violation>>) {
    let Some(violation) = breaks(&steps) else { return (steps, None) };
    let mut search = Search { breaks, invariant: violation.invariant, steps, violation, tries: 0 };
    loop {
        let before = search.steps.clone();
        search.leave_out();
        search.simplify();
        if search.steps == before || search.tries >= TRIES_MAX {
            return (search.steps, Some(search.violation));
        }
    }
}

impl Search<'_> {
    /// Keeps a candidate that breaks the same promise.
    fn keeps(&mut self, candidate: Vec<Step>) -> bool {
        self.tries += 1;
        match (self.breaks)(&candidate) {
            Some(violation) if violation.invariant == self.invariant => {
                (self.steps, self.violation) = (candidate, violation);
                true
            }
            _ => false,
        }
    }

    /// The first step says how large everything is, and stays.
    fn leave_out(&mut self) {
        let mut piece = self.steps.len().max(2) / 2;
        while piece > 0 && self.tries < TRIES_MAX {
            let mut at = 1;
            while at < self.steps.len() && self.tries < TRIES_MAX {
                let rest =
                    self.steps.iter().enumerate().filter(|(index, _)| !(at..at + piece).contains(index));
                if !self.keeps(rest.map(|(_, step)| *step).collect()) {
                    at += piece;
                }
            }
            piece /= 2;
        }
    }

    fn simplify(&mut self) {
        for at in 0..self.steps.len() {
            let count = self.steps.get(at).map_or(0, |step| step.numbers().len());
            for which in 0..count {
                self.lower(at, which);
            }
        }
    }

    /// Zero if that does; else half, and half again, and one less.
    fn lower(&mut self, at: usize, which: usize) {
        while let Some(number) = self.number(at, which).filter(|number| *number > 0) {
            let smaller = [0, number / 2, number - 1];
            if self.tries >= TRIES_MAX || !smaller.iter().any(|smaller| self.keeps_with(at, which, *smaller))
            {
                return;
            }
        }
    }

    fn number(&self, at: usize, which: usize) -> Option<u32> {
        self.steps.get(at)?.numbers().get(which).map(|(_, number)| *number)
    }

    fn keeps_with(&mut self, at: usize, which: usize, number: u32) -> bool {
        let mut candidate = self.steps.clone();
        if let Some(step) = candidate.get_mut(at) {
            let mut numbers: Vec<u32> = step.numbers().iter().map(|(_, number)| *number).collect();
            numbers.iter_mut().skip(which).take(1).for_each(|it| *it = number);
            *step = step.with(&numbers);
        }
        self.keeps(candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::super::step::Step;
    use super::super::verdict::{Invariant, Violation};
    use super::shrink;

    /// A power cut with three or more of eight kept, some time after a timer with a payload.
    fn breaks(steps: &[Step]) -> Option<Box<Violation>> {
        let after = steps.iter().position(|step| matches!(step, Step::After { bytes: 20.., .. }))?;
        let cut = |step: &Step| matches!(step, Step::Crash { cut: 2, keep: 3.., .. });
        let step = after + steps.get(after..)?.iter().position(cut)?;
        Some(Box::new(Violation { invariant: Invariant::I1, what: String::new(), step }))
    }

    #[test]
    fn what_is_left_cannot_be_made_smaller() {
        let noise = [Step::Turn {}, Step::Pass { ms: 40 }, Step::After { ms: 9, bytes: 90, within: 3 }];
        let cut = Step::Crash { cut: 2, keep: 7, tear: 3, names: 1, blank: 2, roll: 80, off_ms: 5 };
        let world = Step::parse("world seed=3 due=2").expect("a step");
        let steps = [vec![world], noise.repeat(9), vec![cut], noise.repeat(9), vec![cut]].concat();
        let (smallest, violation) = shrink(steps, &breaks);
        let lines: Vec<_> = smallest.iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["world", "after bytes=20", "crash cut=2 keep=3"]);
        assert_eq!(violation.map(|it| it.step), Some(2));
    }

    #[test]
    fn a_trace_that_breaks_nothing_is_left_alone() {
        let (steps, violation) = shrink(vec![Step::Turn {}], &breaks);
        assert!(steps == [Step::Turn {}] && violation.is_none());
    }
}
