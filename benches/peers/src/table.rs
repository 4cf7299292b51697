//! The figures of all runs, as a table.

use horolog_benches::compare::{Figure, Row, Table};

use crate::metric::Metric;
use crate::{Peer, Run};

/// A peer, and what it measured in each of its runs.
pub(crate) type Column = (Peer, Vec<Run>);

/// All runs of all peers with one number of timers.
pub(crate) fn of(columns: &[Column]) -> Table {
    Table {
        peers: columns.iter().map(|(peer, _)| peer.column()).collect(),
        comparison: "ours divided by the best peer's (below 1: ours is the less)",
        comparisons: vec!["ours / best bounded", "ours / best"],
        rows: Metric::ALL.map(|metric| row(columns, metric)).into(),
    }
}

fn row(columns: &[Column], metric: Metric) -> Row {
    let figures: Vec<Figure> = columns.iter().map(|(_, runs)| Figure::of(runs, &metric)).collect();
    let comparisons = [true, false].map(|only_bounded| ratio(columns, metric, &figures, only_bounded));
    Row { label: metric.label(), figures, comparisons: comparisons.into() }
}

/// Ours over the least of the peers, and which that is.
fn ratio(columns: &[Column], metric: Metric, figures: &[Figure], only_bounded: bool) -> String {
    let with_peers = || columns.iter().map(|(peer, _)| peer).zip(figures);
    let ours = with_peers().find(|(peer, _)| peer.is_ours()).and_then(|(_, figure)| figure.median());
    let best = with_peers()
        .filter(|(peer, _)| !peer.is_ours() && (peer.is_bounded || !only_bounded))
        .filter_map(|(peer, figure)| figure.median().map(|median| (median, peer.name)))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    match (ours, best) {
        (Some(ours), Some((best, name))) if metric.is_of_the_peer() => format!("{:.2} {name}", ours / best),
        _ => String::new(),
    }
}
