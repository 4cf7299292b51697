//! The figures of all runs, as tables.

use std::collections::BTreeMap;

use crate::Peer;
use crate::metric::{Better, Metric};
use crate::stat::median;

/// What one peer measured in one run; `None` where timers were lost.
pub(crate) type Run = BTreeMap<Metric, Option<f64>>;

/// All runs of a peer.
pub(crate) struct Column {
    pub(crate) peer: Peer,
    pub(crate) is_installed: bool,
    pub(crate) runs: Vec<Run>,
}

impl Column {
    pub(crate) fn new(peer: Peer) -> Self {
        Self { peer, is_installed: peer.is_installed(), runs: Vec::new() }
    }
}

pub(crate) struct Table {
    columns: Vec<Column>,
}

enum Cell {
    Value { median: f64, least: f64, most: f64 },
    Wrong,
    NotInstalled,
    Missing,
}

impl Cell {
    fn of(column: &Column, metric: Metric) -> Self {
        if !column.is_installed {
            return Self::NotInstalled;
        }
        let found: Vec<Option<f64>> =
            column.runs.iter().filter_map(|run| run.get(&metric).copied()).collect();
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
            Self::NotInstalled => "not installed".into(),
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
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns }
    }

    pub(crate) fn print(&self) {
        println!("medians, and how far ours is ahead of the best peer (above 1: ours is better):\n");
        self.print_with(Cell::short, true);
        println!("\nleast and most:\n");
        self.print_with(Cell::long, false);
    }

    fn print_with(&self, show: fn(&Cell) -> String, with_ratios: bool) {
        let mut head: Vec<String> = self.columns.iter().map(|column| column.peer.column()).collect();
        if with_ratios {
            head.extend(["ahead of best with index".into(), "ahead of best".into()]);
        }
        let mut lines = vec![line("", &head), line("---", &vec!["---".into(); head.len()])];
        for metric in Metric::ALL {
            let cells: Vec<Cell> = self.columns.iter().map(|column| Cell::of(column, metric)).collect();
            if cells.iter().all(|cell| matches!(cell, Cell::Missing | Cell::NotInstalled)) {
                continue;
            }
            let mut row: Vec<String> = cells.iter().map(show).collect();
            if with_ratios {
                row.extend([true, false].map(|with_index| self.ratio(metric, &cells, with_index)));
            }
            lines.push(line(metric.label(), &row));
        }
        lines.iter().for_each(|line| println!("{line}"));
    }

    /// How far ours is ahead of the best of the peers, and which that is.
    fn ratio(&self, metric: Metric, cells: &[Cell], with_index: bool) -> String {
        let ahead = |ours: f64, theirs: f64| match metric.better() {
            Better::Less => Some(theirs / ours),
            Better::More => Some(ours / theirs),
            Better::Neither => None,
        };
        let with_peers = || self.columns.iter().map(|column| column.peer).zip(cells);
        let ours = with_peers().find(|(peer, _)| peer.is_ours()).and_then(|(_, cell)| cell.median());
        let Some(ours) = ours else { return String::new() };
        let best = with_peers()
            .filter(|(peer, _)| !peer.is_ours() && (peer.has_index || !with_index))
            .filter_map(|(peer, cell)| Some((ahead(ours, cell.median()?)?, peer.name)))
            .min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or(String::new(), |(ahead, name)| format!("{ahead:.2} {name}"))
    }
}

fn line(label: &str, cells: &[String]) -> String {
    let cells: String = cells.iter().map(|cell| format!(" {cell:>13} |")).collect();
    format!("| {label:31} |{cells}")
}

/// Three digits where there are so many.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value < 10.0 => format!("{value:.2}"),
        value if value < 100.0 => format!("{value:.1}"),
        value => format!("{value:.0}"),
    }
}
