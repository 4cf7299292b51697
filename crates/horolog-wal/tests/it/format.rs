//! The bytes themselves: what is encoded is decoded, at every limit, and nothing else is.

use horolog_sim::Rng;
use horolog_wal::{
    BATCH_HEADER_LEN, BatchBuf, BatchFlags, BatchHeader, Context, Fault, INTERNAL_KIND_MIN, Link, LinkReason,
    Lsn, RecordFault, RecordView, Seal, SegmentFault, SegmentHeader, Stamp,
};

use crate::rig::{Rig, mem, read, records};

fn some_header(rng: &mut Rng) -> BatchHeader {
    BatchHeader {
        first_lsn: Lsn(rng.next()),
        durable_lsn: Lsn(rng.next()),
        prev_chain: rng.next(),
        engine_tick: rng.next(),
        ordinal: rng.next() as u32,
        body_len: rng.next() as u32,
        record_count: rng.next() as u32,
        body_digest: rng.next() as u32,
        flags: BatchFlags(rng.next() as u16),
        codec: rng.next() as u16,
    }
}

#[test]
fn a_batch_header_is_read_back_in_its_place_and_nowhere_else() {
    let mut rng = Rng::new(1);
    for _ in 0..200 {
        let header = some_header(&mut rng);
        let (uuid, id, salt, block) = (u128::from(rng.next()), rng.next(), rng.next(), rng.next() as u32);
        let mut bytes = [0; BATCH_HEADER_LEN];
        let crc = header.encode(&mut bytes, &Context::new(uuid, id, salt), block);
        assert_eq!(BatchHeader::decode(&bytes, &Context::new(uuid, id, salt), block), Ok((header, crc)));
        for (context, block) in [
            (Context::new(uuid ^ 1, id, salt), block),
            (Context::new(uuid, id ^ 1, salt), block),
            (Context::new(uuid, id, salt ^ 1), block),
            (Context::new(uuid, id, salt), block ^ 1),
        ] {
            assert_eq!(BatchHeader::decode(&bytes, &context, block), Err(Fault::HeaderChecksum));
        }
    }
}

#[test]
fn every_flipped_bit_of_a_batch_header_is_noticed() {
    let context = Context::new(1, 2, 3);
    let mut bytes = [0; BATCH_HEADER_LEN];
    some_header(&mut Rng::new(2)).encode(&mut bytes, &context, 4);
    for bit in 0..BATCH_HEADER_LEN * 8 {
        let mut bad = bytes;
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(BatchHeader::decode(&bad, &context, 4).is_err(), "bit {bit}");
    }
    for len in 0..BATCH_HEADER_LEN {
        assert_eq!(BatchHeader::decode(&bytes[..len], &context, 4), Err(Fault::End));
    }
    assert_eq!(BatchHeader::decode(&[0; 64], &context, 4), Err(Fault::Blank));
}

#[test]
fn a_segment_header_is_read_back_and_every_flipped_bit_is_noticed() {
    let header = SegmentHeader {
        uuid: 1 << 100,
        segment_id: 2,
        epoch: 3,
        salt: 4,
        capacity_blocks: 5,
        is_recycled: true,
    };
    let bytes = header.encode();
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let fault = SegmentHeader::decode(&bad).unwrap_err();
        assert!(matches!(fault, SegmentFault::Checksum | SegmentFault::Magic), "bit {bit}: {fault}");
    }
    assert_eq!(SegmentHeader::decode(&bytes[..4095]), Err(SegmentFault::Short));
}

#[test]
fn links_and_seals_are_read_back_and_no_other_length_is() {
    for reason in [LinkReason::Created, LinkReason::Opened, LinkReason::Rotated, LinkReason::Healed] {
        let link = Link { prev_segment: 1, prev_last_lsn: Lsn(2), prev_chain: 3, epoch: 4, reason };
        let mut bytes = Vec::new();
        link.encode(&mut bytes);
        assert_eq!(Link::decode(&bytes), Some(link));
        (0..bytes.len()).for_each(|len| assert_eq!(Link::decode(&bytes[..len]), None));
        bytes[32] = 9;
        assert_eq!(Link::decode(&bytes), None, "an unknown reason");
    }
    for batches in [0, 1, 2, 1000] {
        let seal = Seal { last_lsn: Lsn(1), chain: 2, blocks: (0..batches).collect() };
        let mut bytes = Vec::new();
        seal.encode(&mut bytes);
        assert_eq!(Seal::decode(&bytes), Some(seal));
        (0..bytes.len()).for_each(|len| assert_eq!(Seal::decode(&bytes[..len]), None));
        assert_eq!(Seal::decode(&[bytes, vec![0]].concat()), None);
    }
}

/// The bytes of a batch with one record, as the specification has them.
#[test]
fn a_record_lies_as_the_specification_says() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.append_bodies(&[b"body".to_vec()]).unwrap();
    let bytes = disk.bytes("seg-0000000000000001.wal").unwrap();
    let batch = &bytes[2 * 4096..3 * 4096];
    assert_eq!(&batch[..4], b"HBAT");
    assert_eq!(batch[8..16], 1u64.to_le_bytes(), "first LSN");
    assert_eq!(batch[40..44], 1u32.to_le_bytes(), "ordinal: the LINK came first");
    assert_eq!(batch[44..48], 16u32.to_le_bytes(), "12 bytes of record header and 4 of body");
    let record = &batch[64..80];
    let (kind, flags) = (rig.model[0].0, rig.model[0].1);
    assert_eq!(record[..8], [4, 0, 0, 0, kind, flags, 0, 0]);
    let crc = crc32fast::hash(&[&record[..8], &record[12..]].concat());
    assert_eq!(record[8..12], crc.to_le_bytes());
    assert_eq!(&record[12..], b"body");
    let digest = crc32fast::hash(&[&record[8..12], &batch[80..]].concat());
    assert_eq!(batch[52..56], digest.to_le_bytes());
    assert!(batch[80..].iter().all(|byte| *byte == 0));
}

#[test]
fn every_truncation_and_flip_of_a_record_is_noticed() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    rig.append_bodies(&[b"some body".to_vec()]).unwrap();
    let bytes = disk.bytes("seg-0000000000000001.wal").unwrap();
    let record = &bytes[2 * 4096 + 64..2 * 4096 + 64 + 21];
    let (view, rest) = RecordView::decode(record).unwrap();
    assert_eq!((view.body, rest.len(), view.is_internal()), (&b"some body"[..], 0, false));
    (0..record.len()).for_each(|len| assert!(RecordView::decode(&record[..len]).is_err()));
    for bit in 0..record.len() * 8 {
        let mut bad = record.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(RecordView::decode(&bad).is_err(), "bit {bit}");
    }
    let huge = [&u32::MAX.to_le_bytes()[..], &[0; 100]].concat();
    assert_eq!(RecordView::decode(&huge), Err(RecordFault::Length), "compared before anything is allocated");
}

#[test]
fn a_buffer_counts_what_it_holds_and_starts_again_after_clear() {
    let mut batch = BatchBuf::with_capacity(100);
    assert!(batch.is_empty());
    assert_eq!(batch.push(1, 2, |out| out.extend_from_slice(b"abc")), 15);
    assert_eq!(batch.push(INTERNAL_KIND_MIN - 1, 0, |_| {}), 12);
    assert_eq!(
        (batch.record_count(), batch.lsn_count(), batch.len_bytes(), batch.disk_bytes()),
        (2, 2, 27, 4096)
    );
    batch.clear();
    assert_eq!((batch.record_count(), batch.lsn_count(), batch.len_bytes()), (0, 0, 0));
}

#[test]
fn a_shared_tail_makes_the_same_bytes_as_a_body_pushed_whole() {
    let bodies = [&b"one"[..], b"", b"two and more", &[7; 9_000], b"five"];
    let write = |shared: &dyn Fn(usize) -> bool| {
        let disk = mem(1);
        let mut rig = Rig::new(disk.clone());
        let mut batch = BatchBuf::new();
        for (index, body) in bodies.iter().enumerate() {
            let (head, tail) = body.split_at(body.len() / 3);
            let bytes = if shared(index) {
                batch.push_with_tail(1, 0, |out| {
                    out.extend_from_slice(head);
                    Some(tail.into())
                })
            } else {
                batch.push(1, 0, |out| out.extend_from_slice(body))
            };
            assert_eq!(bytes, 12 + body.len());
        }
        let counted = (batch.len_bytes(), batch.disk_bytes());
        let stamp = Stamp { first_lsn: Lsn(1), ..Stamp::default() };
        rig.writer.append(&mut batch, stamp, 0).unwrap();
        assert_eq!((batch.len_bytes(), batch.disk_bytes()), counted, "taking the tails in changes no count");
        disk.bytes("seg-0000000000000001.wal").unwrap()
    };
    let whole = write(&|_| false);
    for mask in 1..1 << bodies.len() {
        assert!(write(&|index| mask >> index & 1 == 1) == whole, "tails {mask:#b}");
    }
}

#[test]
fn bodies_of_every_length_around_a_block_are_read_back() {
    let disk = mem(1);
    let mut rig = Rig::new(disk.clone());
    for block in 1..=2 {
        for len in block * 4096 - 64 - 12 - 3..=block * 4096 - 64 - 12 + 3 {
            rig.append_bodies(&[vec![len as u8; len]]).unwrap();
        }
    }
    assert_eq!(records(&read(&*disk).unwrap()), rig.model);
}

#[test]
fn random_bytes_are_decoded_without_a_panic() {
    let mut rng = Rng::new(3);
    for _ in 0..20_000 {
        let bytes: Vec<u8> = (0..rng.below(120)).map(|_| rng.next() as u8).collect();
        let _ = RecordView::decode(&bytes);
        let _ = Seal::decode(&bytes);
        let _ = Link::decode(&bytes);
        let _ = BatchHeader::decode(&bytes, &Context::new(0, 0, 0), 1);
        let _ = SegmentHeader::decode(&bytes);
    }
}
