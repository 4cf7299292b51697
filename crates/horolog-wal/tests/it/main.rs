//! What the log promises, over a disk that loses power, runs full and rots. Test names are the specification.

#![cfg(test)]
#![expect(clippy::cast_possible_truncation, reason = "random numbers are cut to size")]

mod beside;
mod crash;
mod damage;
mod format;
mod heal;
mod lifecycle;
mod meta;
#[expect(dead_code, reason = "the tests of horolog-recovery ask for more")]
mod places;
mod retire;
mod rig;
mod rotate;
mod salvage;
mod snapshot;
