//! What timers carry, while they are pending: values of any type, each under a key of 64 bits.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::sync::Mutex;

/// Values of a page. Pages are never moved, so that no value ever waits for all others to be copied.
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
    pages: Vec<Box<[Place<T>]>>,
    /// The first free place; the number of places if there is none.
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
        match arm((shard.free * self.shards.len() + number) as u64) {
            Ok(armed) => {
                shard.put(value);
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

    /// All values. Their keys are used up.
    pub(super) fn take_all(&self) -> Vec<T> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let Shard { pages, .. } = core::mem::replace(&mut *shard.0.lock(), Shard::EMPTY);
            let places = pages.into_iter().flatten();
            all.extend(
                places.filter_map(|place| if let Place::Taken(value) = place { Some(value) } else { None }),
            );
        }
        all
    }
}

impl<T> Shard<T> {
    const EMPTY: Self = Self { pages: Vec::new(), free: 0 };

    /// Puts a value in the free place.
    fn put(&mut self, value: T) {
        let at = self.free;
        if at == self.pages.len() * PAGE {
            self.pages.push((at + 1..=at + PAGE).map(Place::Free).collect());
        }
        if let Some(place) = self.place(at)
            && let Place::Free(next) = core::mem::replace(place, Place::Taken(value))
        {
            self.free = next;
        }
    }

    fn take(&mut self, at: usize) -> Option<T> {
        let free = self.free;
        let place = self.place(at).filter(|place| matches!(place, Place::Taken(_)))?;
        let Place::Taken(value) = core::mem::replace(place, Place::Free(free)) else { return None };
        self.free = at;
        Some(value)
    }

    fn place(&mut self, at: usize) -> Option<&mut Place<T>> {
        self.pages.get_mut(at / PAGE)?.get_mut(at % PAGE)
    }
}
