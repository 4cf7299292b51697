//! The disk as tests hold it: making one, ending its life, looking at it, and ordering faults.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use horolog_storage::{Op, StorageError};

use crate::check::Broken;
use crate::crash::{self, Crash, Fate, Pending, PendingChange};
use crate::effect::Effect;
use crate::fault::{Errno, Fault, Pattern, Trigger};
use crate::image::SECTOR_LEN;
use crate::lock::Lock;
use crate::state::{Interruption, State};
use crate::trace::{Call, Counts, Traced};
use crate::watch::Rewrite;

/// One directory on a simulated disk that can lose power at any sector, fail, run full, or rot.
///
/// A write goes to the page cache, where every program sees it. [`File::sync`](horolog_storage::File::sync) hands it to
/// the device and has that flush it to the medium. Changes of names wait for
/// [`Storage::sync_dir`](horolog_storage::Storage::sync_dir) in the same way. [`SimDisk::crash`] then makes any of the
/// states in which a real disk could be found. The crate documentation says what is simulated and what is not.
///
/// Two disks made with the same seed and used in the same way are the same, byte for byte.
///
/// ```
/// use horolog_sim::{Fate, SimDisk};
/// use horolog_storage::Storage;
///
/// let disk = SimDisk::new(1);
/// let file = disk.create("a")?;
/// file.write_at(b"kept", 0)?;
/// file.sync()?;
/// disk.sync_dir()?;
/// file.write_at(b"lost", 0)?;
///
/// assert_eq!(disk.process_kill().bytes("a").as_deref(), Some(&b"lost"[..]));
/// let after = disk.crash(&mut |_| Fate::Dropped);
/// assert_eq!(after.bytes("a").as_deref(), Some(&b"kept"[..]));
/// let after = disk.crash(&mut |_| Fate::Torn { bytes: 2 });
/// assert_eq!(after.bytes("a").as_deref(), Some(&b"lopt"[..]));
/// # Ok::<(), horolog_storage::StorageError>(())
/// ```
pub struct SimDisk {
    pub(crate) shared: Shared,
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SimDisk").field(&self.shared).finish()
    }
}

/// What a disk and everything that is open on it have in common.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<State>>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(state) = self.0.try_lock() else { return f.write_str("in use") };
        f.debug_map().entries(state.sizes()).finish()
    }
}

impl Shared {
    /// The state is whole after every step, so a thread that panicked while it held the lock did no harm.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was to be done before the next operation is done now, without the lock: it may use this disk.
    fn interrupt(&self) {
        let mut state = self.state();
        let now = state.counts.operations;
        let due = state.interruption.take_if(|(at, _)| *at <= now);
        drop(state);
        if let Some((_, Interruption(act))) = due {
            act();
        }
    }

    /// Does one operation, counts it, and writes it down.
    pub(crate) fn run<T>(
        &self,
        call: Call<'_>,
        act: impl FnOnce(&mut State, &Call<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        self.interrupt();
        let mut state = self.state();
        state.begin(&call);
        let outcome = act(&mut state, &call);
        state.end(&call, &outcome);
        outcome
    }
}

/// Making one, and ending its life. Each of these leaves this disk as it is and makes another one, which nobody has
/// open and whose lock is free. Capacity, rot, watches, effects and whether a trace is kept go with it; counts, traces
/// and what was seen begin anew.
impl SimDisk {
    /// An empty directory on a disk of its own; `seed` decides what [`Storage::entropy`](horolog_storage::Storage::entropy)
    /// gives.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(State::new(seed))
    }

    fn with(state: State) -> Self {
        Self { shared: Shared(Arc::new(Mutex::new(state))) }
    }

    /// The same disk in another world. What was not synced still is not, and faults on order come there too. Cheap:
    /// both share every block that neither has written since.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.state();
        let mut fork = state.fork();
        fork.plan = state.plan.clone();
        Self::with(fork)
    }

    /// What is found when the process was killed and the system lives on: everything written is there, and what was
    /// not synced still is not. No faults are on order.
    #[must_use]
    pub fn process_kill(&self) -> Self {
        Self::with(self.state().fork())
    }

    /// What is found when power returns, if names may arrive in any order and blank places are zero.
    ///
    /// `fate` is asked about everything in [`SimDisk::pending`], in that order; it must not use this disk. No faults are
    /// on order.
    #[must_use]
    pub fn crash(&self, fate: &mut dyn FnMut(&Pending) -> Fate) -> Self {
        self.crash_as(Crash::default(), fate)
    }

    /// What is found after a crash of some other kind.
    #[must_use]
    pub fn crash_as(&self, crash: Crash, fate: &mut dyn FnMut(&Pending) -> Fate) -> Self {
        Self::with(crash::crash(&self.state(), crash, fate))
    }

    /// A crash that tears nothing: `keep` says of each thing that is pending whether it reached the medium. A rename is
    /// asked about twice, for the new name and for the loss of the old one.
    #[must_use]
    pub fn power_cut(&self, keep: &mut dyn FnMut() -> bool) -> Self {
        self.crash(&mut |pending| match (pending, keep()) {
            (_, false) => Fate::Dropped,
            (Pending::Rename { .. }, true) if !keep() => Fate::BothNames,
            _ => Fate::Applied,
        })
    }
}

/// What the kernel may do at any time.
impl SimDisk {
    /// The kernel hands sectors of its page cache to the device: of each file that is pending, the last version of each
    /// sector that the device does not have yet, if `hand_over` says so, which must not use this disk.
    pub fn write_back(&self, hand_over: &mut dyn FnMut(&Pending) -> bool) {
        self.state().write_back(hand_over);
    }

    /// The kernel drops every page that counts as clean. It shows where a sync failed: reads give what the medium holds.
    pub fn drop_clean_pages(&self) {
        self.state().evict();
    }

    /// Everything that is not on the medium and that a crash could show, in the order of the calls.
    #[must_use]
    pub fn pending(&self) -> Vec<Pending> {
        crash::pending(&self.state())
    }

    /// The same, each with whether its fate makes a difference.
    #[must_use]
    pub fn pending_changes(&self) -> Vec<PendingChange> {
        crash::pending_changes(&self.state())
    }
}

/// Faults on order.
impl SimDisk {
    /// Orders a fault. Of several that are due at once, the one that was ordered first is met.
    pub fn inject(&self, fault: Fault, trigger: Trigger) {
        self.state().plan.add(fault, trigger);
    }

    /// Refuses one operation: the next `op` after `after` more that go on as they would.
    pub fn fail_next(&self, op: Op, after: u64, errno: Errno) {
        self.inject(Fault::Refused(op, errno), Trigger::after(after));
    }

    /// After so many more operations that change something (or make a change durable), all of them fail and leave no
    /// trace: the machine is off, and [`SimDisk::crash`] or [`SimDisk::process_kill`] say what is found later.
    pub fn halt_after(&self, changes: u64) {
        self.state().plan.halt_after(changes);
    }

    /// Whether the machine is off: see [`SimDisk::halt_after`].
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state().plan.is_off()
    }

    /// How often each fault took effect, on this disk, on those it was made from, and on those that were made from it.
    #[must_use]
    pub fn effects(&self) -> Vec<(Effect, u64)> {
        self.state().effects.counts()
    }

    /// Takes back all faults and the halt.
    pub fn clear_faults(&self) {
        self.state().plan.clear();
    }

    /// After so many more operations, and before the one that follows, somebody else does this, with this disk or another one.
    /// It takes the place of what was ordered before.
    pub fn interrupt_after(&self, operations: u64, act: impl FnOnce() + Send + 'static) {
        let mut state = self.state();
        let at = state.counts.operations.saturating_add(operations);
        state.interruption = Some((at, Interruption(Box::new(act))));
    }

    /// How large the disk is; it may change at any time. Files take whole blocks of 4 KiB, as long as they have a name
    /// or are open. Beyond it nothing can be created or grow; what is there can be written over.
    pub fn set_capacity_bytes(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// The place of the last change that waits to be durable, among all of this disk.
    #[must_use]
    pub fn last_change(&self) -> u64 {
        self.state().ordinal
    }

    /// Does what makes one sync, as if that had begun right after the change `begun` ([`SimDisk::last_change`]) and took so
    /// long: what was written later is not covered by it.
    pub fn with_slow_sync<T>(&self, begun: u64, act: impl FnOnce() -> T) -> T {
        self.state().sync_covers = Some(begun);
        let done = act();
        self.state().sync_covers = None;
        done
    }

    /// What all files take.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// Another process has the lock, until somebody has tried `tries` times to take it; with `None`, for ever.
    /// [`Storage::lock`](horolog_storage::Storage::lock) tries six times.
    pub fn lock_elsewhere(&self, pid: u32, tries: Option<u64>) {
        self.state().lock = Lock::Theirs { pid, tries: tries.unwrap_or(u64::MAX) };
    }
}

/// Damage.
impl SimDisk {
    /// Puts a file there, on the medium and in sight, whatever was there before.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.state().put(name, bytes);
    }

    /// Flips the bits of `mask` in one byte, wherever the file has it; says whether there is such a byte.
    pub fn flip(&self, name: &str, offset: u64, mask: u8) -> bool {
        self.state().with_file(name, |inode| inode.flip(offset, mask))
    }

    /// Cuts a file to `len` bytes, wherever it is; says whether there was more.
    pub fn truncate(&self, name: &str, len: u64) -> bool {
        self.state().with_file(name, |inode| inode.cut(len))
    }

    /// Makes the sectors of a range unreadable, until they are written over. A write of a part of such a sector fails.
    /// What waits to be written there can still be read. If what was written over it is lost in a
    /// crash, the sector is unreadable again.
    pub fn make_unreadable(&self, name: &str, range: Range<u64>) {
        let sectors = range.start / SECTOR_LEN as u64..range.end.div_ceil(SECTOR_LEN as u64);
        self.state().with_file(name, |inode| inode.rot(sectors));
    }
}

/// Looking at it. None of this counts as an operation or meets a fault.
impl SimDisk {
    /// The names and lengths of all files.
    #[must_use]
    pub fn files(&self) -> Vec<(String, u64)> {
        self.state().sizes().map(|(name, len)| (name.to_owned(), len)).collect()
    }

    /// The bytes of a file as programs see them.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.state().file(name).map(|inode| inode.cache.to_vec())
    }

    /// The names and the bytes of all files, as programs see them.
    #[must_use]
    pub fn image(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let files = state.sizes().map(|(name, _)| name);
        files
            .map(|name| (name.to_owned(), state.file(name).map_or_else(Vec::new, |it| it.cache.to_vec())))
            .collect()
    }

    /// The bytes of a file as the device has them, flushed or not.
    #[must_use]
    pub fn device_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.state().file(name).map(|inode| inode.device.to_vec())
    }

    /// The bytes of a file as the medium holds them, under the name that programs see.
    #[must_use]
    pub fn medium_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.state().file(name).map(|inode| inode.medium.to_vec())
    }

    /// A hash of what an opening of this directory could observe: names, lengths and bytes as programs see them.
    ///
    /// After a crash that is all there is, so that of two such disks with the same hash one need be tried.
    /// After [`SimDisk::process_kill`] it says nothing about what a later crash may take.
    #[must_use]
    pub fn image_hash(&self) -> u64 {
        self.state().image_hash()
    }

    /// How many operations that change something (or make a change durable) went well so far.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state().plan.changes()
    }

    /// How much was done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Keeps a trace from now on, or no longer.
    pub fn trace(&self, is_on: bool) {
        self.state().trace.is_on = is_on;
    }

    /// The trace so far, which begins anew.
    #[must_use]
    pub fn take_trace(&self) -> Vec<Traced> {
        std::mem::take(&mut self.state().trace.lines)
    }

    /// Keeps from now on, after each operation that is there to change something, how the disk was then; or no longer.
    /// One run then gives all the places at which a machine may stop.
    pub fn keep_moments(&self, is_on: bool) {
        self.state().moments = is_on.then(Vec::new);
    }

    /// The moments so far, which begin anew: [`SimDisk::changes`] at that time, and the disk as
    /// [`SimDisk::process_kill`] would have made it.
    #[must_use]
    pub fn take_moments(&self) -> Vec<(u64, Self)> {
        let mut state = self.state();
        let moments = state.moments.as_mut().map(std::mem::take).unwrap_or_default();
        moments.into_iter().map(|(changes, state)| (changes, Self::with(state))).collect()
    }

    /// Watches files of these names for writes into a block of 4 KiB that holds durable bytes other than zero.
    ///
    /// What a file held when it was renamed does not count; what is synced under its new name does. After a
    /// crash everything counts that the medium holds.
    pub fn watch_rewrites(&self, names: Pattern) {
        self.state().watch.add(names);
    }

    /// The writes over durable blocks that were seen.
    #[must_use]
    pub fn violations(&self) -> Vec<Rewrite> {
        self.state().watch.seen.clone()
    }

    /// Checks every invariant of the disk itself.
    ///
    /// # Errors
    ///
    /// The first that does not hold: a bug in the simulation.
    pub fn check(&self) -> Result<(), Broken> {
        self.state().check()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}
