//! Values behind 4-byte indices, for what only some timers have.

use crate::paged::Paged;

/// A row with holes that are used again.
#[derive(Debug)]
pub(crate) struct Pool<T> {
    values: Paged<Option<T>>,
    free: Paged<u32>,
}

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self { values: Paged::new(), free: Paged::new() }
    }

    /// Keeps a value and says where. At most `u32::MAX` of them: there are no more slots than that.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(index) => {
                if let Some(place) = self.values.get_mut(index as usize) {
                    *place = Some(value);
                }
                index
            }
            None => {
                self.values.push(Some(value));
                u32::try_from(self.values.len() - 1).unwrap_or(u32::MAX)
            }
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.values.get(index as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.values.get_mut(index as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.values.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.values.iter().flatten()
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len() - self.free.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.values.bytes() + self.free.bytes()
    }
}
