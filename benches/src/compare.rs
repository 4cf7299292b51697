//! What the programs that compare peers share (`benches/peers`, `benches/durable-peers`): runs that are read from the
//! processes that made them, and the tables of all runs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::IsTerminal;

/// What one peer measured in one run; `None` where it did wrong, infinite where it was stopped.
pub type Run<M> = BTreeMap<M, Option<f64>>;

/// A run that was printed as lines of `{metric:?} {figure}`. A figure that is no number means that the peer did wrong.
#[must_use]
pub fn read_run<M: Copy + Debug + Ord>(text: &str, all: &[M]) -> Run<M> {
    let named = |name: &str| all.iter().copied().find(|metric| format!("{metric:?}") == name);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, value)| Some((named(name)?, value.parse().ok()))).collect()
}

/// Says where the program is, in one line of the terminal; nothing if there is none.
pub fn say(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

/// The middle one; of an even number, the lower of the two in the middle.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// What all runs of a peer say about a metric.
#[derive(Clone, Copy, Debug)]
pub enum Figure {
    /// All of them measured it.
    Measured {
        /// The middle one.
        median: f64,
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
    /// In one of them the peer did wrong.
    Wrong,
    /// None of them measured it.
    Missing,
    /// The peer is not there.
    NotInstalled,
}

impl Figure {
    /// What these runs say.
    #[must_use]
    pub fn of<M: Ord>(runs: &[Run<M>], metric: &M) -> Self {
        let found: Vec<Option<f64>> = runs.iter().filter_map(|run| run.get(metric).copied()).collect();
        let values: Vec<f64> = found.iter().flatten().copied().collect();
        if found.is_empty() {
            return Self::Missing;
        }
        if values.len() < found.len() {
            return Self::Wrong;
        }
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self::Measured { median: median(values), least, most }
    }

    /// The middle of what was measured, if it came to its end.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        if let Self::Measured { median, .. } = self {
            Some(*median).filter(|median| median.is_finite())
        } else {
            None
        }
    }

    fn is_blank(&self) -> bool {
        matches!(self, Self::Missing | Self::NotInstalled)
    }

    fn middle(&self) -> String {
        match self {
            Self::Measured { median, .. } => three_digits(*median),
            Self::Wrong => "wrong".into(),
            Self::Missing => "-".into(),
            Self::NotInstalled => "not installed".into(),
        }
    }

    fn range(&self) -> String {
        match self {
            Self::Measured { least, most, .. } => {
                format!("{}-{}", three_digits(*least), three_digits(*most))
            }
            other => other.middle(),
        }
    }
}

/// Three digits where there are so many.
fn three_digits(value: f64) -> String {
    match value {
        f64::INFINITY => "> limit".into(),
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}

/// A row of a [`Table`].
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured, with its unit.
    pub label: &'static str,
    /// A figure for each peer.
    pub figures: Vec<Figure>,
    /// How ours compares, in as many ways as the table has.
    pub comparisons: Vec<String>,
}

/// All figures of all peers.
#[derive(Clone, Debug)]
pub struct Table {
    /// The peers.
    pub peers: Vec<String>,
    /// How ours is compared with the others, in a sentence.
    pub comparison: &'static str,
    /// The heads of those columns.
    pub comparisons: Vec<&'static str>,
    /// A row for each metric; one that nobody measured is not printed.
    pub rows: Vec<Row>,
}

impl Table {
    /// Prints the medians with the comparisons, then the least and the most.
    pub fn print(&self) {
        println!("medians, and {}:\n", self.comparison);
        let head = self.peers.iter().cloned().chain(self.comparisons.iter().copied().map(String::from));
        self.print_rows(head.collect(), |row| {
            row.figures.iter().map(Figure::middle).chain(row.comparisons.iter().cloned()).collect()
        });
        println!("\nleast and most:\n");
        self.print_rows(self.peers.clone(), |row| row.figures.iter().map(Figure::range).collect());
    }

    fn print_rows(&self, head: Vec<String>, cells: impl Fn(&Row) -> Vec<String>) {
        let rows = || self.rows.iter().filter(|row| !row.figures.iter().all(Figure::is_blank));
        let width = rows().map(|row| row.label.len()).max().unwrap_or(0);
        print_line("", width, &head);
        print_line("---", width, &vec!["---".into(); head.len()]);
        rows().for_each(|row| print_line(row.label, width, &cells(row)));
    }
}

fn print_line(label: &str, width: usize, cells: &[String]) {
    let cells: String = cells.iter().map(|cell| format!(" {cell:>13} |")).collect();
    println!("| {label:width$} |{cells}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_read_as_it_was_printed_and_what_is_no_number_is_wrong() {
        let run = read_run("'a' 1.5\n'b' wrong\n'c' 7\nnonsense\n", &['a', 'b']);
        assert_eq!(run, Run::from([('a', Some(1.5)), ('b', None)]));
    }

    #[test]
    fn a_figure_is_the_middle_of_all_runs_and_one_wrong_run_spoils_it() {
        let runs = [3.0, 1.0, 200.0].map(|value| Run::from([('a', Some(value))]));
        let figure = Figure::of(&runs, &'a');
        assert_eq!((figure.middle().as_str(), figure.range().as_str()), ("3.00", "1.00-200"));
        assert_eq!(Figure::of(&runs, &'b').middle(), "-");
        let spoilt = [runs[0].clone(), Run::from([('a', None)])];
        assert_eq!(Figure::of(&spoilt, &'a').middle(), "wrong");
    }

    #[test]
    fn what_was_stopped_is_above_the_limit_and_not_compared() {
        let runs = [f64::INFINITY, 1.0, f64::INFINITY].map(|value| Run::from([('a', Some(value))]));
        let figure = Figure::of(&runs, &'a');
        assert_eq!((figure.middle().as_str(), figure.range().as_str()), ("> limit", "1.00-> limit"));
        assert_eq!(figure.median(), None);
        assert_eq!(read_run("'a' inf", &['a']), runs[0]);
    }
}
