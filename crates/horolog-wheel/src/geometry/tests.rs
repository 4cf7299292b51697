//! Where ticks belong. The numbers are the specification.

use super::*;

fn belongs(tick: u64, now: u64) -> (usize, u64) {
    let level = level_of(Tick(tick), Tick(now));
    (level, number(level, Tick(tick)))
}

#[test]
fn a_tick_belongs_to_the_lowest_level_that_sees_it() {
    assert_eq!(belongs(0, 0), (0, 0));
    assert_eq!(belongs(511, 0), (0, 511));
    assert_eq!(belongs(512, 0), (1, 2));
    assert_eq!(belongs(512, 1), (0, 512));
    assert_eq!(belongs(131_071, 0), (1, 511));
    assert_eq!(belongs(131_072, 0), (2, 2));
    assert_eq!(
        belongs(131_071 + 255, 255),
        (2, 1 + 1),
        "512 slots ahead on level 1, though fewer ticks than that"
    );
    assert_eq!(belongs(u64::MAX, 0), (7, 255));
    assert_eq!(belongs(u64::MAX, u64::MAX), (0, u64::MAX));
    assert_eq!(belongs(u64::MAX, u64::MAX - 511), (0, u64::MAX));
    assert_eq!(belongs(u64::MAX, u64::MAX - 512), (1, u64::MAX >> 8));
}

#[test]
fn at_every_edge_the_level_is_the_lowest_that_sees_the_tick() {
    let edges: alloc::vec::Vec<u64> = (0..64)
        .flat_map(|bits| [(1_u64 << bits) - 1, 1 << bits, (1 << bits) + 1, 3 << bits, u64::MAX - (1 << bits)])
        .collect();
    for now in &edges {
        for tick in edges.iter().filter(|tick| *tick >= now) {
            let (level, found) = belongs(*tick, *now);
            let sees = |level| number(level, Tick(*tick)) - number(level, Tick(*now)) < SLOTS as u64;
            assert!(sees(level) && (0..level).all(|below| !sees(below)), "{tick} from {now}");
            assert!(
                level == 0 || found >= number(level, Tick(*now)) + 2,
                "nothing new comes to the next slot"
            );
            assert_eq!(number_at(ring(found), number(level, Tick(*now))), found);
        }
    }
}
