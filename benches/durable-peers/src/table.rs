//! The figures of all runs, as a table.

use horolog_benches::compare::{Figure, Row, Table};

use crate::metric::{Better, Metric};
use crate::{Peer, Run};

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

    fn figure(&self, metric: Metric) -> Figure {
        if self.is_installed { Figure::of(&self.runs, &metric) } else { Figure::NotInstalled }
    }
}

/// All runs of all peers.
pub(crate) fn of(columns: &[Column]) -> Table {
    Table {
        peers: columns.iter().map(|column| column.peer.column()).collect(),
        comparison: "how far ours is ahead of the best peer (above 1: ours is better)",
        comparisons: vec!["ahead of best with index", "ahead of best"],
        rows: Metric::ALL.map(|metric| row(columns, metric)).into(),
    }
}

fn row(columns: &[Column], metric: Metric) -> Row {
    let figures: Vec<Figure> = columns.iter().map(|column| column.figure(metric)).collect();
    let comparisons = [true, false].map(|with_index| ahead(columns, metric, &figures, with_index));
    Row { label: metric.label(), figures, comparisons: comparisons.into() }
}

/// How far ours is ahead of the best of the peers, and which that is.
fn ahead(columns: &[Column], metric: Metric, figures: &[Figure], with_index: bool) -> String {
    let ahead = |ours: f64, theirs: f64| match metric.better() {
        Better::Less => Some(theirs / ours),
        Better::More => Some(ours / theirs),
        Better::Neither => None,
    };
    let with_peers = || columns.iter().map(|column| column.peer).zip(figures);
    let ours = with_peers().find(|(peer, _)| peer.is_ours()).and_then(|(_, figure)| figure.median());
    let Some(ours) = ours else { return String::new() };
    let best = with_peers()
        .filter(|(peer, _)| !peer.is_ours() && (peer.has_index || !with_index))
        .filter_map(|(peer, figure)| Some((ahead(ours, figure.median()?)?, peer.name)))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    best.map_or(String::new(), |(ahead, name)| format!("{ahead:.2} {name}"))
}
