//! A machine's clocks, moved by hand.

/// What the clocks of a simulated machine say: plain numbers that a harness hands on to whatever takes times.
///
/// ```
/// use horolog_sim::SimClock;
///
/// let mut clock = SimClock::new(1_000_000);
/// clock.pass(500);
/// clock.set_wall_back(1_000);
/// clock.suspend(300);
/// assert_eq!((clock.wall_ns(), clock.boottime_ns(), clock.monotonic_ns()), (999_800, 800, 500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SimClock {
    wall_ns: u64,
    boottime_ns: u64,
    monotonic_ns: u64,
    boot_id: u128,
}

impl SimClock {
    /// A machine that has just started, in its first life.
    #[must_use]
    pub fn new(wall_ns: u64) -> Self {
        Self { wall_ns, boottime_ns: 0, monotonic_ns: 0, boot_id: 1 }
    }

    /// The civil time, in nanoseconds since 1970. It may jump.
    #[must_use]
    pub fn wall_ns(&self) -> u64 {
        self.wall_ns
    }

    /// Nanoseconds since the start of the machine, suspend included.
    #[must_use]
    pub fn boottime_ns(&self) -> u64 {
        self.boottime_ns
    }

    /// Nanoseconds since the start of the machine, suspend not included.
    #[must_use]
    pub fn monotonic_ns(&self) -> u64 {
        self.monotonic_ns
    }

    /// The monotonic clock in whole milliseconds.
    #[must_use]
    pub fn monotonic_ms(&self) -> u64 {
        self.monotonic_ns / 1_000_000
    }

    /// Which life of the machine this is. Two readings of the boot-time clock may be compared only within one.
    #[must_use]
    pub fn boot_id(&self) -> u128 {
        self.boot_id
    }

    /// Time passes.
    pub fn pass(&mut self, ns: u64) {
        self.monotonic_ns = self.monotonic_ns.saturating_add(ns);
        self.suspend(ns);
    }

    /// Time passes while the machine sleeps: the monotonic clock stands still.
    pub fn suspend(&mut self, ns: u64) {
        self.boottime_ns = self.boottime_ns.saturating_add(ns);
        self.set_wall_forward(ns);
    }

    /// Somebody sets the wall clock forward.
    pub fn set_wall_forward(&mut self, ns: u64) {
        self.wall_ns = self.wall_ns.saturating_add(ns);
    }

    /// Somebody sets the wall clock back; not before 1970.
    pub fn set_wall_back(&mut self, ns: u64) {
        self.wall_ns = self.wall_ns.saturating_sub(ns);
    }

    /// The machine is off for `ns` and starts again.
    pub fn reboot(&mut self, ns: u64) {
        self.set_wall_forward(ns);
        (self.boottime_ns, self.monotonic_ns) = (0, 0);
        self.boot_id = self.boot_id.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::SimClock;

    #[test]
    fn a_reboot_begins_a_new_count_and_keeps_the_wall_clock() {
        let mut clock = SimClock::new(10);
        clock.pass(5);
        clock.reboot(100);
        assert_eq!(
            (clock.wall_ns(), clock.boottime_ns(), clock.monotonic_ns(), clock.boot_id()),
            (115, 0, 0, 2)
        );
    }

    #[test]
    fn setting_the_wall_clock_moves_no_other_clock() {
        let mut clock = SimClock::new(10);
        clock.set_wall_forward(3_000_000);
        clock.set_wall_back(5_000_000);
        assert_eq!((clock.wall_ns(), clock.boottime_ns(), clock.monotonic_ms()), (0, 0, 0));
    }
}
