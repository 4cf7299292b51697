//! An allocator that counts what is asked of it. What the system's allocator adds to each piece is not counted.
//!
//! ```
//! use horolog_benches::counted::{Counted, OfThisThread, Tally};
//!
//! #[global_allocator]
//! static MEMORY: Counted<OfThisThread> = Counted::new();
//!
//! let before = OfThisThread::taken();
//! let page = vec![0_u8; 4096];
//! assert_eq!(OfThisThread::taken() - before, page.capacity());
//! ```
#![expect(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where bytes are counted.
pub trait Tally {
    /// So many were asked for, and so many given back.
    fn count(more: usize, less: usize);

    /// Bytes that were asked for and not given back.
    fn taken() -> usize;
}

/// Each thread counts its own: who allocates for each timer must not pay for being counted, and least of all for a line that
/// two threads write.
#[derive(Debug)]
pub struct OfThisThread;

/// All threads count together, where time does not matter.
#[derive(Debug)]
pub struct OfAllThreads;

/// How often this thread asked for memory, and for more of it than it had: not bytes, but calls.
#[derive(Debug)]
pub struct AsksOfThisThread;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
    static ASKS: Cell<usize> = const { Cell::new(0) };
}

static TAKEN_BY_ALL: AtomicUsize = AtomicUsize::new(0);

impl Tally for OfThisThread {
    fn count(more: usize, less: usize) {
        TAKEN.set(Self::taken().wrapping_add(more).wrapping_sub(less));
    }

    fn taken() -> usize {
        TAKEN.get()
    }
}

impl Tally for OfAllThreads {
    fn count(more: usize, less: usize) {
        TAKEN_BY_ALL.fetch_add(more.wrapping_sub(less), Ordering::Relaxed);
    }

    fn taken() -> usize {
        TAKEN_BY_ALL.load(Ordering::Relaxed)
    }
}

impl Tally for AsksOfThisThread {
    fn count(more: usize, less: usize) {
        ASKS.set(Self::taken() + usize::from(more > less));
    }

    fn taken() -> usize {
        ASKS.get()
    }
}

/// Two at once; each of them can be asked, and the first one speaks for both.
impl<A: Tally, B: Tally> Tally for (A, B) {
    fn count(more: usize, less: usize) {
        A::count(more, less);
        B::count(more, less);
    }

    fn taken() -> usize {
        A::taken()
    }
}

/// The system's allocator, counted.
#[derive(Debug)]
pub struct Counted<T>(PhantomData<T>);

impl<T> Counted<T> {
    /// To be a program's `#[global_allocator]`.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "a static needs no default")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl<T: Tally> GlobalAlloc for Counted<T> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        T::count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        T::count(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        T::count(0, layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        T::count(size, layout.size());
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
