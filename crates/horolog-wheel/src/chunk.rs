//! Stacks of items, in chunks from a pool.
//!
//! A stack's first 8 items lie in a small chunk of 64 bytes, all further ones in chunks of 64 items, each linked to the
//! one below. So a wheel of a thousand timers spends 64 bytes a slot, and a wheel of ten million spends 8.06 bytes an item.
//! Large chunks come from segments that never move and that are given back when they are empty. Small ones, at most one a
//! slot of a level, stay for the next time.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::bit_tree::BitTree;
use crate::item::Item;

/// Items of a small chunk.
const SMALL: u32 = 8;

/// Items of a large chunk: the most that [`Pool::pop_run`] gives.
pub(crate) const LARGE: usize = LARGE_LEN as usize;

const LARGE_LEN: u32 = 64;

/// Large chunks of a segment.
const SEGMENT: u32 = 16;

const NIL: u32 = u32::MAX;

/// A stack of items. What it holds lies in the pool that it was filled from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stack {
    top: u32,
    len: u32,
}

impl Stack {
    pub(crate) const EMPTY: Self = Self { top: NIL, len: 0 };

    pub(crate) const fn len(self) -> u32 {
        self.len
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// How many items lie in the chunk on top.
    const fn len_of_top(self) -> u32 {
        if self.len <= SMALL { self.len } else { (self.len - SMALL - 1) % LARGE_LEN + 1 }
    }
}

/// Chunks of 64 items and their links.
struct Segment {
    items: [[Item; LARGE]; SEGMENT as usize],
    below: [u32; SEGMENT as usize],
}

/// Where items lie.
pub(crate) struct Pool {
    small: Vec<[Item; SMALL as usize]>,
    small_free: Vec<u32>,
    segments: Vec<Option<Box<Segment>>>,
    /// Free chunks of each segment, as a stack through `below`; and how many.
    free: Vec<(u32, u32)>,
    /// Segments with a free chunk.
    with_free: BitTree,
    /// Segments with no chunk in use. One is kept.
    spare: usize,
}

impl Pool {
    pub(crate) const fn new() -> Self {
        Self {
            small: Vec::new(),
            small_free: Vec::new(),
            segments: Vec::new(),
            free: Vec::new(),
            with_free: BitTree::new(),
            spare: 0,
        }
    }

    /// Puts an item on top.
    #[inline]
    pub(crate) fn push(&mut self, stack: &mut Stack, item: Item) {
        let len = stack.len;
        stack.len = len + 1;
        if len < SMALL {
            if len == 0 {
                stack.top = self.take_small();
            }
            if let Some(chunk) = self.small.get_mut(stack.top as usize) {
                chunk[(len % SMALL) as usize] = item;
            }
            return;
        }
        let at = (len - SMALL) % LARGE_LEN;
        if at == 0 {
            stack.top = self.take_large(stack.top);
        }
        if let Some((items, _)) = self.large_mut(stack.top) {
            items[at as usize] = item;
        }
    }

    /// Takes up to `max` items off the top, from one chunk, and puts them behind those in `run`.
    #[inline]
    pub(crate) fn pop_run(&mut self, stack: &mut Stack, max: usize, run: &mut Vec<Item>) {
        if stack.is_empty() {
            return;
        }
        let in_top = stack.len_of_top();
        let rest = in_top.saturating_sub(u32::try_from(max).unwrap_or(u32::MAX));
        let count = in_top - rest;
        let range = rest as usize..in_top as usize;
        if stack.len <= SMALL {
            let items = self.small.get(stack.top as usize).and_then(|chunk| chunk.get(range));
            run.extend_from_slice(items.unwrap_or_default());
            stack.len -= count;
            if stack.len == 0 {
                self.small_free.push(stack.top);
                stack.top = NIL;
            }
            return;
        }
        stack.len -= count;
        let top = stack.top;
        let Some((items, below)) = self.large_mut(top) else { return };
        run.extend_from_slice(items.get(range).unwrap_or_default());
        if rest == 0 {
            stack.top = *below;
            self.free_large(top);
        }
    }

    /// The items on top, of one chunk.
    pub(crate) fn top(&self, stack: Stack) -> &[Item] {
        let len = stack.len_of_top() as usize;
        self.chunk(stack.top, stack.len <= SMALL).get(..len).unwrap_or_default()
    }

    /// All items of a stack.
    pub(crate) fn iter(&self, stack: Stack) -> impl Iterator<Item = Item> + '_ {
        let chunks = core::iter::successors((!stack.is_empty()).then_some(stack), |stack| {
            let rest = stack.len - stack.len_of_top();
            (rest > 0).then(|| Stack { top: self.below(stack.top), len: rest })
        });
        chunks.flat_map(|stack| self.top(stack).iter().copied())
    }

    /// Bytes of memory taken from the allocator.
    pub(crate) fn bytes(&self) -> usize {
        self.small.capacity() * size_of::<[Item; SMALL as usize]>()
            + self.small_free.capacity() * size_of::<u32>()
            + self.segments.capacity() * size_of::<Option<Box<Segment>>>()
            + self.free.capacity() * size_of::<(u32, u32)>()
            + self.with_free.bytes()
            + self.segments.iter().flatten().count() * size_of::<Segment>()
    }

    fn chunk(&self, index: u32, is_small: bool) -> &[Item] {
        if is_small {
            self.small.get(index as usize).map_or(&[], |chunk| chunk)
        } else {
            self.segment(index).map_or(&[], |segment| &segment.items[(index % SEGMENT) as usize])
        }
    }

    fn below(&self, index: u32) -> u32 {
        self.segment(index).map_or(NIL, |segment| segment.below[(index % SEGMENT) as usize])
    }

    fn segment(&self, index: u32) -> Option<&Segment> {
        self.segments.get((index / SEGMENT) as usize)?.as_deref()
    }

    #[inline]
    fn large_mut(&mut self, index: u32) -> Option<(&mut [Item; LARGE], &mut u32)> {
        let segment = self.segments.get_mut((index / SEGMENT) as usize)?.as_deref_mut()?;
        let at = (index % SEGMENT) as usize;
        Some((&mut segment.items[at], &mut segment.below[at]))
    }

    fn take_small(&mut self) -> u32 {
        self.small_free.pop().unwrap_or_else(|| {
            self.small.push([Item::NONE; SMALL as usize]);
            index_of(self.small.len() - 1)
        })
    }

    #[cold]
    fn take_large(&mut self, below: u32) -> u32 {
        let segment = self.with_free.first().unwrap_or(self.segments.len());
        if segment == self.segments.len() {
            self.segments.push(None);
            self.free.push((NIL, 0));
            self.with_free.insert(segment);
        }
        if self.segments[segment].is_none() {
            self.make_segment(segment);
        }
        let (index, count) = self.free[segment];
        if count == SEGMENT {
            self.spare -= 1;
        }
        let next = self.below(index);
        self.free[segment] = (next, count - 1);
        if count == 1 {
            self.with_free.remove(segment);
        }
        if let Some((_, link)) = self.large_mut(index) {
            *link = below;
        }
        index
    }

    fn make_segment(&mut self, segment: usize) {
        let first = index_of(segment) * SEGMENT;
        let below = core::array::from_fn(|at| first + index_of(at) + 1);
        let items = [[Item::NONE; LARGE]; SEGMENT as usize];
        self.segments[segment] = Some(Box::new(Segment { items, below }));
        self.free[segment] = (first, SEGMENT);
        self.spare += 1;
    }

    #[cold]
    fn free_large(&mut self, index: u32) {
        let segment = (index / SEGMENT) as usize;
        let (next, count) = self.free[segment];
        if let Some((_, link)) = self.large_mut(index) {
            *link = next;
        }
        self.free[segment] = (index, count + 1);
        if count == 0 {
            self.with_free.insert(segment);
        }
        if count + 1 == SEGMENT {
            if self.spare > 0 {
                self.segments[segment] = None;
                // It is made again when it is needed: all its chunks are free.
                self.free[segment] = (NIL, SEGMENT);
            } else {
                self.spare += 1;
            }
        }
    }
}

/// Chunks are fewer than items, of which a wheel has less than 2^32.
#[expect(clippy::cast_possible_truncation, reason = "see above")]
fn index_of(position: usize) -> u32 {
    position as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::Mark;

    fn item(number: u32) -> Item {
        Item::new(number, Mark(number))
    }

    #[test]
    fn what_is_pushed_is_there_and_comes_off_chunk_by_chunk() {
        let (mut pool, mut stack, mut run) = (Pool::new(), Stack::EMPTY, Vec::new());
        for len in 1..300 {
            pool.push(&mut stack, item(len));
            assert_eq!((stack.len(), pool.iter(stack).count()), (len, len as usize));
        }
        let mut left: Vec<u32> = (1..300).collect();
        for max in (1..70).cycle() {
            if stack.is_empty() {
                break;
            }
            run.clear();
            pool.pop_run(&mut stack, max, &mut run);
            assert!((1..=max).contains(&run.len()));
            let expected = left.split_off(left.len() - run.len());
            assert!(run.iter().map(|item| item.slot()).eq(expected));
            let mut all: Vec<u32> = pool.iter(stack).map(Item::slot).collect();
            all.sort_unstable();
            assert_eq!(all, left);
        }
        assert!(left.is_empty());
    }

    #[test]
    fn memory_of_a_burst_is_given_back() {
        let (mut pool, mut run) = (Pool::new(), Vec::new());
        let mut stacks = [Stack::EMPTY; 100];
        for number in 0..200_000 {
            pool.push(&mut stacks[number as usize % 100], item(number));
        }
        let full = pool.bytes();
        assert!((200_000 * 8..200_000 * 9).contains(&full), "{full} bytes");
        for stack in &mut stacks {
            while !stack.is_empty() {
                pool.pop_run(stack, usize::MAX, &mut run);
            }
        }
        assert_eq!(run.len(), 200_000);
        assert!(pool.bytes() < full / 20, "{} of {full} bytes", pool.bytes());
        pool.push(&mut stacks[0], item(7));
        assert!(pool.iter(stacks[0]).eq([item(7)]));
    }
}
