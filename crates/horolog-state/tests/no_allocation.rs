//! Decoding allocates nothing, whatever the bytes: no length in a body can make it ask for memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "an allocator that counts is the only witness of an allocation")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use horolog_state::codec::{self, RecordFault};
use horolog_state::{DueTime, Kind, Put, Record, Tick, Timeline, TimerId};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes on to the system's allocator as it came; counting touches a cell of this thread, which has no
// destructor and is in no heap.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System` with this layout, as `alloc` above is the only source.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of<T>(work: impl FnOnce() -> T) -> (u64, T) {
    let before = ALLOCATIONS.get();
    let result = work();
    (ALLOCATIONS.get() - before, result)
}

fn put_body() -> Vec<u8> {
    let id = TimerId::new(7, 3).unwrap();
    let due = DueTime { timeline: Timeline::Civil, tick: Tick(5) };
    let mut body = Vec::new();
    codec::encode(&Record::Put(Put { id, due, terms: None, payload: (&[1; 5_000]).into() }), &mut body);
    body
}

#[test]
fn the_counter_counts() {
    let (allocations, _) = allocations_of(|| vec![1u8; 10]);
    assert_eq!(allocations, 1);
}

#[test]
fn a_good_record_is_decoded_without_an_allocation() {
    let body = put_body();
    let (allocations, decoded) = allocations_of(|| codec::decode(Kind::Put.code(), &body));
    assert!(decoded.is_ok());
    assert_eq!(allocations, 0);
}

#[test]
fn a_hostile_length_is_refused_without_an_allocation() {
    for hostile in [5_001, 1 << 20, 1 << 26, 1 << 33, 1 << 63, u64::MAX] {
        let mut body = put_body();
        body[18..26].copy_from_slice(&u64::to_le_bytes(hostile));
        let (allocations, decoded) = allocations_of(|| codec::decode(Kind::Put.code(), &body));
        assert_eq!(decoded, Err(RecordFault::Malformed { kind: Kind::Put, len: body.len() }));
        assert_eq!(allocations, 0, "a length of {hostile}");
    }
}
