//! From a trace that breaks a promise to the smallest one that breaks the same.

use super::run::run_twice;
use super::step::Step;
use super::verdict::{Invariant, Violation};

/// So many runs are tried at most.
const TRIES_MAX: u32 = 20_000;

/// A trace that fails, and how.
struct Search {
    steps: Vec<Step>,
    invariant: Invariant,
    violation: Box<Violation>,
    tries: u32,
}

/// Leaves out steps, in ever smaller pieces, then makes numbers smaller, until neither gets anywhere. The violation is `None`
/// if the steps break nothing.
pub(crate) fn shrink(steps: Vec<Step>) -> (Vec<Step>, Option<Box<Violation>>) {
    let Err(violation) = run_twice(&steps) else { return (steps, None) };
    let mut search = Search { invariant: violation.invariant, steps, violation, tries: 0 };
    loop {
        let before = search.steps.clone();
        search.leave_out();
        search.simplify();
        if search.steps == before || search.tries >= TRIES_MAX {
            return (search.steps, Some(search.violation));
        }
    }
}

impl Search {
    /// Keeps a candidate that breaks the same promise.
    fn keeps(&mut self, candidate: Vec<Step>) -> bool {
        self.tries += 1;
        match run_twice(&candidate) {
            Err(violation) if violation.invariant == self.invariant => {
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
