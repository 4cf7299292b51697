//! What each timer of a drill carries: who it is, when it is due, and a checksum under the drill's seed, so that a
//! payload of another timer, of another drill or with a flipped bit is told from one that was scheduled.
//!
//! ```text
//! 0  serial u64 · 8 deadline_ns u64 · 16 axis u8 · 17 filler bytes of serial and seed · last 8: checksum
//! ```

use super::plan::{Axis, Plan, mix};

const HEAD_LEN: usize = 17;
const CHECK_LEN: usize = 8;

/// What a payload says, once it is known to be genuine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) serial: u64,
    /// It must not be received before this reading of its axis' clock.
    pub(super) deadline_ns: u64,
    pub(super) axis: Axis,
}

pub(super) fn encode(seed: u64, claim: Claim) -> Vec<u8> {
    let filler_len = Plan::of(seed, claim.serial).filler_len;
    let mut bytes = Vec::with_capacity(HEAD_LEN + filler_len + CHECK_LEN);
    bytes.extend_from_slice(&claim.serial.to_le_bytes());
    bytes.extend_from_slice(&claim.deadline_ns.to_le_bytes());
    bytes.push(claim.axis as u8);
    let mut word = mix(seed ^ claim.serial);
    for _ in 0..filler_len {
        bytes.push(word.to_le_bytes()[0]);
        word = word.rotate_right(7).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    }
    bytes.extend_from_slice(&checksum(seed, &bytes).to_le_bytes());
    bytes
}

/// `None` for bytes that no timer of this drill carries.
pub(super) fn decode(seed: u64, bytes: &[u8]) -> Option<Claim> {
    let claim = Claim {
        serial: u64::from_le_bytes(*bytes.first_chunk()?),
        deadline_ns: u64::from_le_bytes(*bytes.get(8..)?.first_chunk()?),
        axis: Axis::from_code(*bytes.get(16)?)?,
    };
    (encode(seed, claim) == bytes).then_some(claim)
}

fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(mix(seed), |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_back_and_any_flipped_bit_is_seen() {
        for serial in 0..300 {
            let claim = Claim { serial, deadline_ns: 77 * serial, axis: Axis::Boot };
            let bytes = encode(9, claim);
            assert_eq!(decode(9, &bytes), Some(claim));
            assert_eq!(decode(8, &bytes), None, "another drill's");
            let mut damaged = bytes.clone();
            let at = usize::try_from(mix(serial)).unwrap_or(0) % bytes.len();
            damaged[at] ^= 4;
            assert_eq!(decode(9, &damaged), None);
        }
    }
}
