//! A queue that grows a chunk at a time: one of a million entries that doubled its buffer would copy them all under the
//! lock.

use std::collections::VecDeque;

const CHUNK_LEN: usize = 1_024;

/// First in, first out.
///
/// 1. No chunk but the only one is empty.
/// 2. `len` is the number of values in all chunks.
#[derive(Debug)]
pub(super) struct Queue<T> {
    chunks: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { chunks: VecDeque::new(), len: 0 }
    }
}

impl<T> Queue<T> {
    pub(super) fn push_back(&mut self, value: T) {
        self.len += 1;
        match self.chunks.back_mut() {
            Some(chunk) if chunk.len() < CHUNK_LEN => chunk.push_back(value),
            last => {
                // A first chunk grows as it is used, so that a quiet engine stays small; those after it are full soon.
                let capacity = if last.is_some() { CHUNK_LEN } else { 0 };
                let mut chunk = VecDeque::with_capacity(capacity);
                chunk.push_back(value);
                self.chunks.push_back(chunk);
            }
        }
    }

    /// For what was just popped.
    pub(super) fn push_front(&mut self, value: T) {
        self.len += 1;
        match self.chunks.front_mut() {
            Some(chunk) if chunk.len() < CHUNK_LEN => chunk.push_front(value),
            _ => self.chunks.push_front(VecDeque::from([value])),
        }
    }

    pub(super) fn front(&self) -> Option<&T> {
        self.chunks.front()?.front()
    }

    pub(super) fn pop_front(&mut self) -> Option<T> {
        let chunk = self.chunks.front_mut()?;
        let value = chunk.pop_front()?;
        self.len -= 1;
        // The last chunk stays, so that a queue that is used one by one allocates nothing.
        if chunk.is_empty() && self.chunks.len() > 1 {
            self.chunks.pop_front();
        }
        Some(value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_back_what_a_plain_queue_gives_back() {
        let (mut queue, mut model) = (Queue::default(), VecDeque::new());
        let mut random = 7_u64;
        for value in 0..60_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Mostly pushes in the first half of each stretch, mostly pops in the second.
            let pushes = if value % 20_000 < 10_000 { 7 } else { 3 };
            if random >> 33 & 7 < pushes {
                queue.push_back(value);
                model.push_back(value);
            } else {
                let popped = queue.pop_front();
                assert_eq!(popped, model.pop_front());
                if let Some(popped) = popped.filter(|_| random >> 40 & 3 == 0) {
                    queue.push_front(popped);
                    model.push_front(popped);
                }
            }
            assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
            assert_eq!(queue.front(), model.front());
            assert!(queue.chunks.len() < 2 || queue.chunks.iter().all(|chunk| !chunk.is_empty()));
        }
    }
}
