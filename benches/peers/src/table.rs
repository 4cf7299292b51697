//! The figures of all runs, as tables.

use std::collections::BTreeMap;

use crate::Peer;
use crate::metric::Metric;
use crate::stat::median;

/// What one peer measured in one run; `None` where it did wrong.
pub(crate) type Run = BTreeMap<Metric, Option<f64>>;

/// All runs of all peers with one number of timers.
pub(crate) struct Table {
    columns: Vec<(Peer, Vec<Run>)>,
}

enum Cell {
    Value { median: f64, least: f64, most: f64 },
    Wrong,
    Missing,
}

impl Cell {
    fn of(runs: &[Run], metric: Metric) -> Self {
        let found: Vec<Option<f64>> = runs.iter().filter_map(|run| run.get(&metric).copied()).collect();
        let values: Vec<f64> = found.iter().flatten().copied().collect();
        if found.is_empty() {
            return Self::Missing;
        }
        if values.len() < found.len() {
            return Self::Wrong;
        }
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self::Value { median: median(values), least, most }
    }

    fn median(&self) -> Option<f64> {
        if let Self::Value { median, .. } = self { Some(*median) } else { None }
    }

    fn short(&self) -> String {
        match self {
            Self::Value { median, .. } => number(*median),
            Self::Wrong => "wrong".into(),
            Self::Missing => "-".into(),
        }
    }

    fn long(&self) -> String {
        match self {
            Self::Value { least, most, .. } => format!("{}-{}", number(*least), number(*most)),
            other => other.short(),
        }
    }
}

impl Table {
    pub(crate) fn new(columns: Vec<(Peer, Vec<Run>)>) -> Self {
        Self { columns }
    }

    pub(crate) fn print(&self) {
        println!("medians, and ours divided by the best peer's (below 1: ours is the less):\n");
        self.print_with(Cell::short, true);
        println!("\nleast and most:\n");
        self.print_with(Cell::long, false);
        println!();
    }

    fn print_with(&self, show: fn(&Cell) -> String, with_ratios: bool) {
        let mut head: Vec<String> = self.columns.iter().map(|(peer, _)| peer.column()).collect();
        if with_ratios {
            head.extend(["ours / best bounded".into(), "ours / best".into()]);
        }
        let mut lines = vec![line("", &head), line("---", &vec!["---".into(); head.len()])];
        for metric in Metric::ALL {
            let cells: Vec<Cell> = self.columns.iter().map(|(_, runs)| Cell::of(runs, metric)).collect();
            if cells.iter().all(|cell| matches!(cell, Cell::Missing)) {
                continue;
            }
            let mut row: Vec<String> = cells.iter().map(show).collect();
            if with_ratios {
                row.extend([true, false].map(|bounded| self.ratio(metric, &cells, bounded)));
            }
            lines.push(line(metric.label(), &row));
        }
        lines.iter().for_each(|line| println!("{line}"));
    }

    /// Ours over the least of the peers, and which that is.
    fn ratio(&self, metric: Metric, cells: &[Cell], only_bounded: bool) -> String {
        let with_peers = || self.columns.iter().map(|(peer, _)| peer).zip(cells);
        let ours = with_peers().find(|(peer, _)| peer.is_ours()).and_then(|(_, cell)| cell.median());
        let best = with_peers()
            .filter(|(peer, _)| !peer.is_ours() && (peer.is_bounded || !only_bounded))
            .filter_map(|(peer, cell)| cell.median().map(|median| (median, peer.name)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        match (ours, best) {
            (Some(ours), Some((best, name))) if metric.is_of_the_peer() => {
                format!("{:.2} {name}", ours / best)
            }
            _ => String::new(),
        }
    }
}

fn line(label: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!(" {cell:>13} |")).collect();
    format!("| {label:28} |{cells}")
}

/// Three digits where there are so many.
fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}
