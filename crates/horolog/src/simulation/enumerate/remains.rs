//! What a crash may leave of all that is pending: the choices, and the ways to go through them.
//!
//! 1. All versions of a sector are one choice: which of them is the last that arrived, or none. A size arrived or not, a
//!    name too; a rename may leave both names.
//! 2. What makes no difference is no choice: a sector that holds what the medium does.

use std::collections::BTreeMap;

use horolog_sim::{Crash, Fate, Pending, Rng, SECTOR_LEN, SimDisk};

/// What became of each thing that is pending, in order.
pub(super) type Fates = Vec<Fate>;

/// The outcomes of one choice besides that nothing arrived: which of the pending things gets which fate. The last is that
/// all of it did.
type Choice = Vec<(usize, Fate)>;

/// See the module.
#[derive(Debug)]
pub(super) struct Remains {
    pub(super) pending: Vec<Pending>,
    choices: Vec<Choice>,
}

impl Remains {
    pub(super) fn of(disk: &SimDisk) -> Self {
        let changes = disk.pending_changes();
        let mut choices: Vec<Choice> = Vec::new();
        let mut sectors: BTreeMap<(u64, u64), usize> = BTreeMap::new();
        for (at, change) in changes.iter().enumerate().filter(|(_, change)| change.differs) {
            match (&change.pending, change.file) {
                (Pending::Sector { sector, .. }, Some(file)) => {
                    let choice = *sectors.entry((file, *sector)).or_insert(choices.len());
                    choices.resize(choices.len().max(choice + 1), Choice::new());
                    choices.get_mut(choice).into_iter().for_each(|choice| choice.push((at, Fate::Applied)));
                }
                (Pending::Rename { .. }, _) => {
                    choices.push(vec![(at, Fate::BothNames), (at, Fate::Applied)]);
                }
                _ => choices.push(vec![(at, Fate::Applied)]),
            }
        }
        Self { pending: changes.into_iter().map(|change| change.pending).collect(), choices }
    }

    /// How many choices there are.
    pub(super) fn len(&self) -> usize {
        self.choices.len()
    }

    pub(super) fn nothing(&self) -> Fates {
        vec![Fate::Dropped; self.pending.len()]
    }

    pub(super) fn all(&self) -> Fates {
        self.chosen(|_, choice| choice.len())
    }

    /// Names and sizes, and no sector.
    fn visible(&self) -> Fates {
        let is_sector = |at: usize| self.pending.get(at).is_some_and(Pending::is_sector);
        let of = |choice: &Choice| if choice.iter().any(|(at, _)| is_sector(*at)) { 0 } else { choice.len() };
        self.chosen(|_, choice| of(choice))
    }

    fn chosen(&self, outcome: impl Fn(usize, &Choice) -> usize) -> Fates {
        let mut fates = self.nothing();
        for (at, choice) in self.choices.iter().enumerate() {
            let arrived = outcome(at, choice).checked_sub(1).and_then(|outcome| choice.get(outcome));
            if let Some((place, fate)) = arrived.and_then(|(at, fate)| Some((fates.get_mut(*at)?, fate))) {
                *place = *fate;
            }
        }
        fates
    }

    /// Every combination, and whether that is all: beyond two to the power of `choices_max` of them so many are drawn, and
    /// those in which one choice is different from all others.
    pub(super) fn combinations(&self, choices_max: u32, seed: u64) -> (Vec<Fates>, bool) {
        let limit = 1_usize.checked_shl(choices_max).unwrap_or(usize::MAX);
        let count =
            self.choices.iter().try_fold(1_usize, |count, choice| count.checked_mul(choice.len() + 1));
        match count.filter(|count| *count <= limit) {
            Some(count) => ((0..count).map(|number| self.numbered(number)).collect(), true),
            None => {
                let mut rng = Rng::new(seed);
                let drawn = (0..limit).map(|_| self.drawn(&mut rng));
                let alone = (0..self.len())
                    .map(|alone| self.chosen(|at, choice| if at == alone { choice.len() } else { 0 }));
                let mut fates = self.deviations();
                fates.extend(alone.chain(drawn));
                (fates, false)
            }
        }
    }

    fn numbered(&self, number: usize) -> Fates {
        let mut bases = Vec::with_capacity(self.len());
        let mut base = 1;
        for choice in &self.choices {
            bases.push(base);
            base *= choice.len() + 1;
        }
        self.chosen(|at, choice| number / bases.get(at).copied().unwrap_or(1) % (choice.len() + 1))
    }

    fn drawn(&self, rng: &mut Rng) -> Fates {
        let outcomes: Vec<_> = self
            .choices
            .iter()
            .map(|choice| usize::try_from(rng.below(choice.len() as u64 + 1)).unwrap_or(0))
            .collect();
        self.chosen(|at, _| outcomes.get(at).copied().unwrap_or(0))
    }

    /// Nothing, all, and all but for one choice in each other way.
    pub(super) fn deviations(&self) -> Vec<Fates> {
        let mut fates = vec![self.nothing()];
        if !self.choices.is_empty() {
            fates.push(self.all());
        }
        for (other, choice) in self.choices.iter().enumerate() {
            fates.extend(
                (0..choice.len()).map(|outcome| {
                    self.chosen(|at, choice| if at == other { outcome } else { choice.len() })
                }),
            );
        }
        fates
    }

    /// Each sector torn at each of these bytes, from either side, with everything else there or with names and sizes only.
    pub(super) fn torn(&self, places: &[usize]) -> Vec<Fates> {
        let of = |bytes| [Fate::Torn { bytes }, Fate::TornTail { bytes }];
        let fates: Vec<_> = places.iter().flat_map(|&bytes| of(bytes)).collect();
        let mut torn = self.with_one_sector(&self.all(), &fates);
        torn.extend(self.with_one_sector(&self.visible(), &fates));
        torn
    }

    /// Each sector zero, with everything else there.
    pub(super) fn zeroed(&self) -> Vec<Fates> {
        self.with_one_sector(&self.all(), &[Fate::Zero])
    }

    /// Each sector noise, with everything else there.
    pub(super) fn noisy(&self) -> Vec<Fates> {
        self.with_one_sector(&self.all(), &[Fate::Garbage(1)])
    }

    /// The newest version of each sector gets each of these fates instead of what `others` says.
    fn with_one_sector(&self, others: &Fates, fates: &[Fate]) -> Vec<Fates> {
        let is_sector = |at: usize| self.pending.get(at).is_some_and(Pending::is_sector);
        let newest = self.choices.iter().filter_map(|choice| choice.last()).map(|(at, _)| *at);
        let with = |at: usize, fate: Fate| {
            let mut others = others.clone();
            others.get_mut(at).into_iter().for_each(|place| *place = fate);
            others
        };
        newest
            .filter(|&at| is_sector(at))
            .flat_map(|at| fates.iter().map(move |&fate| with(at, fate)))
            .collect()
    }

    /// Names and sizes without any sector, where there is a file that grew: what is found in it is up to the file system.
    pub(super) fn grown(&self) -> Option<Fates> {
        let grows = self.pending.iter().any(|pending| matches!(pending, Pending::Size { .. }));
        grows.then(|| self.visible())
    }

    /// What arrived, in words.
    pub(super) fn told(&self, fates: &Fates) -> String {
        let all = self.pending.iter().zip(fates);
        let told: Vec<_> = all
            .filter(|(_, fate)| **fate != Fate::Dropped)
            .map(|(pending, fate)| format!("{pending}: {fate:?}"))
            .collect();
        if told.is_empty() { "nothing arrived".to_owned() } else { told.join("; ") }
    }
}

/// Every byte at which a sector can tear.
pub(super) fn every_byte() -> Vec<usize> {
    (1..SECTOR_LEN).collect()
}

/// The disk as it is found.
pub(super) fn crashed(disk: &SimDisk, crash: Crash, fates: &Fates) -> SimDisk {
    let mut fates = fates.iter();
    disk.crash_as(crash, &mut |_| fates.next().copied().unwrap_or(Fate::Dropped))
}
