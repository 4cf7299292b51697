//! A buffer against one that makes every record whole at once.

use super::*;

/// Records as they have to lie, made one after another.
#[derive(Default)]
struct Eager {
    bytes: Vec<u8>,
    digest: Hasher,
    records: u32,
}

impl Eager {
    fn push(&mut self, kind: u8, flags: u8, body: &[u8]) -> usize {
        let head = [&u32::try_from(body.len()).unwrap().to_le_bytes()[..], &[kind, flags, 0, 0]].concat();
        let mut crc = Hasher::new();
        crc.update(&head);
        crc.update(body);
        let crc = crc.finalize().to_le_bytes();
        self.digest.update(&crc);
        self.bytes.extend([&head[..], &crc, body].concat());
        self.records += 1;
        RECORD_HEADER_LEN + body.len()
    }

    /// What is written behind the header: records and padding; and the digest over both.
    fn finished(&self) -> (Vec<u8>, u32) {
        let mut bytes = [&[0; BATCH_HEADER_LEN][..], &self.bytes].concat();
        let records_end = bytes.len();
        bytes.resize(records_end.next_multiple_of(BLOCK_LEN as usize), 0);
        let mut digest = self.digest.clone();
        digest.update(&bytes[records_end..]);
        (bytes, digest.finalize())
    }
}

fn next(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

#[test]
fn whatever_is_done_to_a_buffer_its_records_lie_as_if_made_one_by_one() {
    let mut random = 5;
    for _ in 0..2_000 {
        let (mut buf, mut eager) = (BatchBuf::new(), Eager::default());
        for _ in 0..next(&mut random) % 30 {
            let len = usize::try_from(next(&mut random) % 300).unwrap()
                * usize::from(!next(&mut random).is_multiple_of(5));
            let body: Vec<u8> = (0..len).map(|_| (next(&mut random) & 0xff) as u8).collect();
            let (kind, flags) = ((next(&mut random) & 0x7f) as u8, (next(&mut random) & 0xff) as u8);
            match next(&mut random) % 20 {
                0..=6 => {
                    let taken = buf.push(kind, flags, |out| out.extend_from_slice(&body));
                    assert_eq!(taken, eager.push(kind, flags, &body));
                }
                7..=12 => {
                    let (head, tail) = body.split_at(body.len() / 2);
                    let taken = buf.push_with_tail(kind, flags, |out| {
                        out.extend_from_slice(head);
                        Some(tail.into())
                    });
                    assert_eq!(taken, eager.push(kind, flags, &body));
                }
                13..=15 => {
                    let start = eager.bytes.len();
                    eager.push(kind, flags, &body);
                    let record = &eager.bytes[start..];
                    let crc = u32::from_le_bytes(*record[8..].first_chunk().unwrap());
                    buf.copy(record, crc);
                }
                16..=18 => compare(&mut buf, &eager),
                _ => {
                    buf.clear();
                    eager = Eager::default();
                }
            }
            assert_eq!((buf.len_bytes(), buf.record_count_u32()), (eager.bytes.len(), eager.records));
        }
        compare(&mut buf, &eager);
    }
}

fn compare(buf: &mut BatchBuf, eager: &Eager) {
    assert_eq!(buf.disk_bytes(), eager.finished().0.len() as u64);
    assert!(buf.finished(|bytes, digest| (bytes.to_vec(), digest)) == eager.finished());
    assert!(!buf.is_spoiled());
}

#[test]
fn a_buffer_with_room_keeps_it_when_it_takes_in_a_tail() {
    let mut buf = BatchBuf::with_capacity(100_000);
    buf.push_with_tail(1, 0, |_| Some([7; 5_000].as_slice().into()));
    buf.finished(|_, _| ());
    assert!(buf.capacity_bytes() >= 100_000);
}

#[test]
fn records_that_do_not_lie_back_to_back_spoil_their_buffer() {
    let spoils = |alter: &dyn Fn(&mut Vec<u8>)| {
        let mut buf = BatchBuf::new();
        buf.push(1, 0, |out| out.extend_from_slice(b"earlier"));
        buf.push(1, 0, |out| {
            alter(out);
            out.extend_from_slice(b"own");
        });
        buf.seal();
        buf.is_spoiled()
    };
    assert!(!spoils(&|_| {}));
    assert!(spoils(&|out| out[BATCH_HEADER_LEN] = 200), "too long");
    assert!(spoils(&|out| out[BATCH_HEADER_LEN] = 3), "too short");
    assert!(spoils(&|out| out[BATCH_HEADER_LEN] = 7 + 12 + 3), "it swallows the next");
    assert!(spoils(&|out| out.truncate(BATCH_HEADER_LEN)), "gone");
}
