//! What timers carry, while they are pending: values of any type, each under a key of 64 bits.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::bit_tree::BitTree;
use crate::sync::Mutex;

#[cfg(all(test, not(loom)))]
mod tests;

/// Values of a page. Pages are never moved, so that no value ever waits for all others to be copied, and given back when they
/// are empty.
const PAGE: usize = 256;

/// Values in shards, each under a lock of its own.
pub(super) struct Values<T> {
    shards: Box<[Locked<T>]>,
}

/// Two lines to itself, so that threads with shards of their own write none in common: 85 ns a timer armed and cancelled by two
/// threads become 50.
#[repr(align(128))]
struct Locked<T>(Mutex<Shard<T>>);

struct Shard<T> {
    /// `None`: no place is taken. One such page is kept.
    pages: Vec<Option<Page<T>>>,
    /// Pages with a free place.
    with_room: BitTree,
    /// Pages that are kept and have no value.
    spare: usize,
}

struct Page<T> {
    places: Box<[Place<T>]>,
    taken: usize,
    /// The first free place; `PAGE` if there is none.
    free: usize,
}

enum Place<T> {
    Taken(T),
    /// And the next free place is this.
    Free(usize),
}

impl<T> Values<T> {
    pub(super) fn new(shards: usize) -> Self {
        let shards = (0..shards.max(1)).map(|_| Locked(Mutex::new(Shard::EMPTY)));
        Self { shards: shards.collect() }
    }

    /// Keeps a value under the key that `arm` is given, unless that fails; then the value comes back. Nobody finds the key
    /// empty, however soon the timer is due: its shard is locked until the value is in.
    pub(super) fn put<R, E>(
        &self,
        home: usize,
        value: T,
        arm: impl FnOnce(u64) -> Result<R, E>,
    ) -> Result<R, (T, E)> {
        let number = home % self.shards.len();
        let mut shard = self.shards[number].0.lock();
        let at = shard.free();
        match arm((at * self.shards.len() + number) as u64) {
            Ok(armed) => {
                shard.put(at, value);
                Ok(armed)
            }
            Err(refused) => Err((value, refused)),
        }
    }

    /// The value of a key; `None` if it was taken.
    pub(super) fn take(&self, key: u64) -> Option<T> {
        let key = usize::try_from(key).ok()?;
        self.shards[key % self.shards.len()].0.lock().take(key / self.shards.len())
    }

    /// All values. Keys begin again, so nothing may be put here any more.
    pub(super) fn take_all(&self) -> Vec<T> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let Shard { pages, .. } = core::mem::replace(&mut *shard.0.lock(), Shard::EMPTY);
            let places = pages.into_iter().flatten().flat_map(|page| page.places);
            all.extend(
                places.filter_map(|place| if let Place::Taken(value) = place { Some(value) } else { None }),
            );
        }
        all
    }
}

impl<T> Shard<T> {
    const EMPTY: Self = Self { pages: Vec::new(), with_room: BitTree::new(), spare: 0 };

    /// A free place, in a page that is there.
    fn free(&mut self) -> usize {
        let number = self.with_room.first().unwrap_or(self.pages.len());
        if number == self.pages.len() {
            self.pages.push(None);
            self.with_room.insert(number);
        }
        let page = &mut self.pages[number];
        if page.is_none() {
            self.spare += 1;
        }
        number * PAGE + page.get_or_insert_with(Page::new).free
    }

    /// Puts a value in the place that is free.
    fn put(&mut self, at: usize, value: T) {
        let Some(page) = self.pages.get_mut(at / PAGE).and_then(Option::as_mut) else { return };
        self.spare -= usize::from(page.taken == 0);
        page.put(at % PAGE, value);
        if page.taken == PAGE {
            self.with_room.remove(at / PAGE);
        }
    }

    fn take(&mut self, at: usize) -> Option<T> {
        let page = self.pages.get_mut(at / PAGE)?;
        let value = page.as_mut()?.take(at % PAGE)?;
        self.with_room.insert(at / PAGE);
        if page.as_ref().is_some_and(|page| page.taken == 0) {
            if self.spare > 0 {
                *page = None;
            } else {
                self.spare += 1;
            }
        }
        Some(value)
    }
}

impl<T> Page<T> {
    fn new() -> Self {
        Self { places: (1..=PAGE).map(Place::Free).collect(), taken: 0, free: 0 }
    }

    fn put(&mut self, at: usize, value: T) {
        if let Some(place) = self.places.get_mut(at)
            && let Place::Free(next) = core::mem::replace(place, Place::Taken(value))
        {
            self.taken += 1;
            self.free = next;
        }
    }

    fn take(&mut self, at: usize) -> Option<T> {
        let place = self.places.get_mut(at).filter(|place| matches!(place, Place::Taken(_)))?;
        let Place::Taken(value) = core::mem::replace(place, Place::Free(self.free)) else { return None };
        self.taken -= 1;
        self.free = at;
        Some(value)
    }
}
