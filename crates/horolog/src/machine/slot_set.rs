//! A set of slots, one bit each, in pages: growing moves nothing, however many slots there are.

const PAGE_WORDS: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SlotSet(Vec<Option<Box<[u64; PAGE_WORDS]>>>);

impl SlotSet {
    /// Adds a slot; `false` if it was in the set.
    pub(super) fn insert(&mut self, slot: u32) -> bool {
        let (page, word, bit) = place(slot);
        if page >= self.0.len() {
            self.0.resize_with(page + 1, || None);
        }
        let Some(page) = self.0.get_mut(page) else { return false };
        let Some(bits) = page.get_or_insert_with(|| Box::new([0; PAGE_WORDS])).get_mut(word) else {
            return false;
        };
        let is_new = *bits & bit == 0;
        *bits |= bit;
        is_new
    }

    /// Takes a slot out.
    pub(super) fn remove(&mut self, slot: u32) {
        let (page, word, bit) = place(slot);
        if let Some(Some(page)) = self.0.get_mut(page)
            && let Some(bits) = page.get_mut(word)
        {
            *bits &= !bit;
        }
    }

    /// Whether a slot is in the set.
    pub(super) fn contains(&self, slot: u32) -> bool {
        let (page, word, bit) = place(slot);
        let page = self.0.get(page).and_then(Option::as_ref);
        page.and_then(|page| page.get(word)).is_some_and(|bits| bits & bit != 0)
    }
}

fn place(slot: u32) -> (usize, usize, u64) {
    let word = slot as usize / 64;
    (word / PAGE_WORDS, word % PAGE_WORDS, 1 << (slot % 64))
}
