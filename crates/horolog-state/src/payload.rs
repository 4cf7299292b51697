//! Payloads in memory: byte strings behind 8-byte handles.
//!
//! Small payloads lie in pages of equal cells, one list of pages a cell size, so that ten million of them cost no
//! allocation each and no rounding beyond a quarter of their length. A page has a power of two of cells, so that finding one
//! takes no division. Large ones are shared buffers, so that handing one
//! to a consumer copies nothing. An empty payload takes no memory at all.
//!
//! # Invariants (asserted by [`Payloads::check`])
//!
//! 1. A cell is in use or on its class's free list, never both.
//! 2. `bytes` is the sum of all cells and buffers held, free ones included and discarded ones not.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use crate::paged::Paged;
use crate::pool::Pool;

/// Payloads above this many bytes are shared buffers of their own.
pub(crate) const SMALL_BYTES_MAX: usize = 512;

/// A page has as many cells as fit in this, down to a power of two.
const PAGE_BYTES_MAX: usize = 64 << 10;
const LEN_BITS: u32 = 13;
const CLASS_BITS: u32 = 6;
const LARGE: u64 = 1 << 63;

/// Where a payload lies. The handle of an empty payload is zero.
///
/// Small: `index << 19 | class << 13 | length`. Large: the top bit and an index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PayloadRef(pub(crate) u64);

/// A payload: bytes that belong to a timer and mean nothing to the engine.
///
/// Above 512 bytes it is shared: cloning it, scheduling it and getting it back copy nothing.
#[derive(Clone, Default, Eq)]
pub struct Payload(Owned);

#[derive(Clone, Eq, PartialEq)]
enum Owned {
    Small(Box<[u8]>),
    Large(Arc<[u8]>),
}

impl Default for Owned {
    fn default() -> Self {
        Self::Small(Box::default())
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        Self(if bytes.len() > SMALL_BYTES_MAX {
            Owned::Large(bytes.into())
        } else {
            Owned::Small(bytes.into())
        })
    }
}

impl<const N: usize> From<&[u8; N]> for Payload {
    fn from(bytes: &[u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl<const N: usize> From<[u8; N]> for Payload {
    fn from(bytes: [u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

impl From<&Vec<u8>> for Payload {
    fn from(bytes: &Vec<u8>) -> Self {
        bytes.as_slice().into()
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        text.as_bytes().into()
    }
}

impl From<&Self> for Payload {
    fn from(payload: &Self) -> Self {
        payload.clone()
    }
}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Owned::Small(bytes) => bytes,
            Owned::Large(bytes) => bytes,
        }
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Payload {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// The bytes of a payload in a request or a record: borrowed, or shared so that keeping them copies nothing.
#[derive(Clone, Copy, Debug)]
pub enum PayloadView<'a> {
    /// Bytes that are copied when they are kept.
    Bytes(&'a [u8]),
    /// Bytes that are kept by sharing them.
    Shared(&'a Arc<[u8]>),
}

impl Deref for PayloadView<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for PayloadView<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for PayloadView<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for PayloadView<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl Payload {
    /// The same bytes, to be put into a [`Request`](crate::Request).
    #[doc(hidden)]
    #[must_use]
    pub fn view(&self) -> PayloadView<'_> {
        match &self.0 {
            Owned::Small(bytes) => PayloadView::Bytes(bytes),
            Owned::Large(bytes) => PayloadView::Shared(bytes),
        }
    }
}

impl Default for PayloadView<'_> {
    fn default() -> Self {
        Self::Bytes(&[])
    }
}

impl PartialEq for PayloadView<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for PayloadView<'_> {}

/// Memory of no more use. Freeing it takes longer than a lock should be held, so it is handed out to be dropped elsewhere.
#[derive(Debug, Default)]
pub struct Discarded {
    large: Vec<Arc<[u8]>>,
    emptied: Vec<Emptied>,
}

impl Discarded {
    /// The large payloads in it.
    #[must_use]
    pub fn large(&self) -> &[Arc<[u8]>] {
        &self.large
    }

    /// Bytes of memory that are freed with it, shares that others hold too included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let large: usize = self.large.iter().map(|payload| payload.len()).sum();
        let emptied = self.emptied.iter().map(|emptied| emptied.page_bytes() + emptied.free.bytes());
        large + emptied.sum::<usize>()
    }
}

/// What was left of a class of cells when the last one became free.
#[derive(Debug)]
struct Emptied {
    pages: Vec<Box<[u8]>>,
    free: Paged<u32>,
}

impl Emptied {
    fn page_bytes(&self) -> usize {
        self.pages.iter().map(|page| page.len()).sum()
    }
}

/// Cells of one size.
#[derive(Debug)]
struct Class {
    cell_bytes: usize,
    /// A page has two to the power of this many cells.
    page_shift: u32,
    cells: u32,
    pages: Vec<Box<[u8]>>,
    free: Paged<u32>,
}

impl Class {
    fn new(cell_bytes: usize) -> Self {
        let page_shift = (PAGE_BYTES_MAX / cell_bytes).ilog2();
        Self { cell_bytes, page_shift, cells: 0, pages: Vec::new(), free: Paged::new() }
    }

    fn page_bytes(&self) -> usize {
        self.cell_bytes << self.page_shift
    }

    /// The page of a cell, and where the cell begins in it.
    fn locate(&self, index: u32) -> (usize, usize) {
        let at = index & ((1 << self.page_shift) - 1);
        ((index >> self.page_shift) as usize, at as usize * self.cell_bytes)
    }

    fn take(&mut self) -> u32 {
        if let Some(index) = self.free.pop() {
            return index;
        }
        let index = self.cells;
        if self.locate(index).0 == self.pages.len() {
            self.pages.push(vec![0; self.page_bytes()].into_boxed_slice());
        }
        self.cells += 1;
        index
    }

    fn cell(&self, index: u32) -> &[u8] {
        let (page, start) = self.locate(index);
        self.pages.get(page).and_then(|page| page.get(start..start + self.cell_bytes)).unwrap_or_default()
    }

    fn cell_mut(&mut self, index: u32) -> &mut [u8] {
        let (page, start) = self.locate(index);
        let end = start + self.cell_bytes;
        self.pages.get_mut(page).and_then(|page| page.get_mut(start..end)).unwrap_or_default()
    }

    /// Gives all pages but one back once nothing is left in them: memory follows a burst down, and a lone timer that
    /// comes and goes costs no page each time.
    fn shrink_if_empty(&mut self) -> Option<Emptied> {
        if self.cells as usize != self.free.len() || self.pages.len() < 2 {
            return None;
        }
        let kept = self.pages.pop().into_iter().collect();
        self.cells = 0;
        Some(Emptied {
            pages: core::mem::replace(&mut self.pages, kept),
            free: core::mem::replace(&mut self.free, Paged::new()),
        })
    }
}

/// All resident payloads.
#[derive(Debug)]
pub(crate) struct Payloads {
    classes: Vec<Class>,
    large: Pool<Arc<[u8]>>,
    discarded: Discarded,
    bytes: usize,
    /// Of the payloads themselves.
    len_bytes: u64,
}

impl Default for Payloads {
    fn default() -> Self {
        Self::new()
    }
}

impl Payloads {
    /// Holds nothing.
    #[must_use]
    pub(crate) fn new() -> Self {
        let mut classes = Vec::new();
        let mut cell_bytes = 16;
        while cell_bytes < SMALL_BYTES_MAX {
            classes.push(Class::new(cell_bytes));
            cell_bytes = (cell_bytes + cell_bytes / 4).next_multiple_of(16);
        }
        classes.push(Class::new(SMALL_BYTES_MAX));
        Self { classes, large: Pool::new(), discarded: Discarded::default(), bytes: 0, len_bytes: 0 }
    }

    /// Bytes of memory held, free cells included.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of all payloads.
    #[must_use]
    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Keeps `payload`: small ones in a cell, large ones as a share.
    pub(crate) fn insert(&mut self, payload: PayloadView<'_>) -> PayloadRef {
        if payload.is_empty() {
            return PayloadRef(0);
        }
        self.len_bytes += payload.len() as u64;
        let found = self.classes.iter().position(|class| payload.len() <= class.cell_bytes);
        match found {
            Some(class) => self.insert_small(class, &payload),
            None => self.insert_large(match payload {
                PayloadView::Bytes(bytes) => bytes.into(),
                PayloadView::Shared(shared) => Arc::clone(shared),
            }),
        }
    }

    fn insert_small(&mut self, class_index: usize, payload: &[u8]) -> PayloadRef {
        let Some(class) = self.classes.get_mut(class_index) else { return PayloadRef(0) };
        let pages_before = class.pages.len();
        let index = class.take();
        self.bytes += (class.pages.len() - pages_before) * class.page_bytes();
        if let Some(cell) = class.cell_mut(index).get_mut(..payload.len()) {
            cell.copy_from_slice(payload);
        }
        let class_index = class_index as u64;
        PayloadRef(
            u64::from(index) << (LEN_BITS + CLASS_BITS) | class_index << LEN_BITS | payload.len() as u64,
        )
    }

    fn insert_large(&mut self, shared: Arc<[u8]>) -> PayloadRef {
        self.bytes += shared.len();
        PayloadRef(LARGE | u64::from(self.large.insert(shared)))
    }

    /// The bytes behind a handle.
    #[must_use]
    pub(crate) fn get(&self, payload: PayloadRef) -> &[u8] {
        match Place::of(payload) {
            Place::Empty => &[],
            Place::Small { class, index, len } => {
                self.classes.get(class).and_then(|class| class.cell(index).get(..len)).unwrap_or_default()
            }
            Place::Large { index } => self.large.get(index).map_or(&[], |shared| shared),
        }
    }

    /// The bytes behind a handle, to be taken out of the engine: small ones are copied, large ones shared.
    #[must_use]
    pub(crate) fn share(&self, payload: PayloadRef) -> Payload {
        if let Place::Large { index } = Place::of(payload)
            && let Some(shared) = self.large.get(index)
        {
            return Payload(Owned::Large(Arc::clone(shared)));
        }
        Payload(Owned::Small(self.get(payload).into()))
    }

    /// Forgets a payload. Its handle must not be used again. Its memory may be kept until [`Payloads::take_discarded`].
    pub(crate) fn remove(&mut self, payload: PayloadRef) {
        match Place::of(payload) {
            Place::Empty => {}
            Place::Small { class, index, len } => {
                self.len_bytes -= len as u64;
                if let Some(class) = self.classes.get_mut(class) {
                    class.free.push(index);
                    if let Some(emptied) = class.shrink_if_empty() {
                        self.bytes -= emptied.page_bytes();
                        self.discarded.emptied.push(emptied);
                    }
                }
            }
            Place::Large { index } => {
                if let Some(shared) = self.large.remove(index) {
                    self.bytes -= shared.len();
                    self.len_bytes -= shared.len() as u64;
                    self.discarded.large.push(shared);
                }
            }
        }
    }

    /// Memory of no more use.
    pub(crate) fn take_discarded(&mut self) -> Discarded {
        core::mem::take(&mut self.discarded)
    }

    /// Asserts the invariants of the module.
    ///
    /// # Errors
    ///
    /// The number of the invariant that does not hold.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let mut bytes: usize = self.large.iter().map(|shared| shared.len()).sum();
        for class in &self.classes {
            let mut free: Vec<u32> = class.free.iter().copied().collect();
            free.sort_unstable();
            free.dedup();
            if free.len() != class.free.len() || free.last().is_some_and(|&last| last >= class.cells) {
                return Err("I1: a free cell is listed twice or was never made");
            }
            bytes += class.pages.len() * class.page_bytes();
        }
        if bytes == self.bytes { Ok(()) } else { Err("I2: bytes does not add up") }
    }
}

/// A handle, taken apart.
enum Place {
    Empty,
    Small { class: usize, index: u32, len: usize },
    Large { index: u32 },
}

impl Place {
    #[expect(clippy::cast_possible_truncation, reason = "each field is masked to its width first")]
    fn of(payload: PayloadRef) -> Self {
        let raw = payload.0;
        if raw == 0 {
            return Self::Empty;
        }
        if raw & LARGE != 0 {
            return Self::Large { index: raw as u32 };
        }
        Self::Small {
            class: (raw >> LEN_BITS & ((1 << CLASS_BITS) - 1)) as usize,
            index: (raw >> (LEN_BITS + CLASS_BITS)) as u32,
            len: (raw & ((1 << LEN_BITS) - 1)) as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| u8::try_from(i * 31 % 251).unwrap()).collect()
    }

    #[test]
    fn every_length_comes_back_whole() {
        let mut payloads = Payloads::new();
        let lens = || (0..=600).chain([70_000]);
        let handles: Vec<_> = lens().map(|len| (len, payloads.insert((&bytes(len)).into()))).collect();
        for &(len, handle) in &handles {
            assert_eq!(payloads.get(handle), bytes(len));
            assert_eq!(&*payloads.share(handle), bytes(len));
        }
        payloads.check().expect("after inserts");
        for (_, handle) in handles {
            payloads.remove(handle);
            payloads.check().expect("after a remove");
        }
        let rest = payloads.classes.len() * PAGE_BYTES_MAX;
        assert!(payloads.bytes() <= rest, "an empty store keeps a page a class at most");
    }

    #[test]
    fn a_cell_is_used_again() {
        let mut payloads = Payloads::new();
        let keep = payloads.insert((&bytes(60)).into());
        let first = payloads.insert((&bytes(64)).into());
        payloads.remove(first);
        assert_eq!(payloads.insert((&bytes(63)).into()).0 >> 19, first.0 >> 19);
        assert_eq!(payloads.get(keep), bytes(60));
    }

    #[test]
    fn emptiedpages_are_given_back_to_be_freed_elsewhere() {
        let mut payloads = Payloads::new();
        let handles: Vec<_> = (0..10_000).map(|_| payloads.insert((&[7; 64]).into())).collect();
        let full = payloads.bytes();
        handles.into_iter().for_each(|handle| payloads.remove(handle));
        assert_eq!(payloads.bytes(), PAGE_BYTES_MAX);
        let emptied = payloads.take_discarded().emptied.pop().unwrap();
        assert_eq!((emptied.pages.len(), emptied.free.len()), (full / PAGE_BYTES_MAX - 1, 10_000));
        payloads.check().expect("after the burst");
        let again = payloads.insert((&[8; 64]).into());
        assert_eq!(payloads.get(again), [8; 64]);
    }

    #[test]
    fn a_shared_large_payload_outlives_its_timer() {
        let mut payloads = Payloads::new();
        let asked = Payload::from(&*bytes(10_000));
        let handle = payloads.insert(asked.view());
        let shared = payloads.share(handle);
        payloads.remove(handle);
        assert_eq!(&*shared, bytes(10_000));
        assert_eq!(shared.as_ptr(), asked.as_ptr(), "in and out again, and never copied");
    }
}
