//! One file a kind in `golden/v0`: comments that name the records, and their bodies in hex.
#![expect(clippy::disallowed_methods, reason = "golden files lie in the repository, beside these tests")]

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::sync::Once;

use horolog_state::{Kind, Misfire, Retry, codec};

use crate::reader;
use crate::samples::{fields, samples};

fn path(kind: Kind) -> PathBuf {
    let name = format!("{}.hex", kind.name().to_lowercase());
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v0").join(name)
}

/// The golden file of a kind. All are remade before the first is read, if that was asked for.
fn golden(kind: Kind) -> String {
    static REMADE: Once = Once::new();
    REMADE.call_once(|| {
        if std::env::var_os("HOROLOG_REMAKE_GOLDEN").is_some() {
            for kind in Kind::ALL {
                fs::write(path(kind), made_now(kind)).unwrap();
            }
        }
    });
    let path = path(kind);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the file would hold if it were made now.
fn made_now(kind: Kind) -> String {
    let mut text =
        format!("# Record bodies of kind {:#04x}, {}; format version 0.\n", kind.code(), kind.name());
    for (name, record) in samples(kind) {
        let mut body = Vec::new();
        codec::encode(&record, &mut body);
        let _ = writeln!(text, "\n# {name}");
        for line in body.chunks(32) {
            let _ = writeln!(text, "{}", line.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        }
    }
    text
}

/// The bodies in a golden file, each with its name.
fn bodies(text: &str) -> Vec<(&str, Vec<u8>)> {
    let paragraphs = text.split("\n\n").skip(1).filter(|paragraph| !paragraph.trim().is_empty());
    let body = |lines: &str| {
        let digits: Vec<u8> = lines.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    };
    paragraphs
        .map(|paragraph| {
            let (name, lines) = paragraph.split_once('\n').unwrap();
            (name.trim_start_matches("# "), body(lines))
        })
        .collect()
}

/// The first way in which `text` is not the golden file that this version makes and reads.
fn difference(kind: Kind, text: &str) -> Option<String> {
    let (found, expected) = (bodies(text), samples(kind));
    if found.len() != expected.len() {
        return Some(format!("{} records, and {} are known", found.len(), expected.len()));
    }
    for ((name, body), (_, record)) in found.iter().zip(&expected) {
        match codec::decode(kind.code(), body) {
            Ok(decoded) if decoded == *record => {}
            other => return Some(format!("{name}: decodes to {other:?}, and not to {record:?}")),
        }
    }
    let differs = |(at, (is, should)): (usize, (&str, &str))| {
        (is != should).then(|| format!("line {}: {is:?}, and this version writes {should:?}", at + 1))
    };
    let expected = made_now(kind);
    let line = text.lines().zip(expected.lines()).enumerate().find_map(differs);
    line.or_else(|| (text != expected).then(|| String::from("the files end differently")))
}

#[track_caller]
fn check_fails(text: &str, expected: &str) {
    let difference = difference(Kind::Complete, text).expect("a difference");
    assert!(difference.contains(expected), "{difference}");
}

#[test]
fn every_kind_is_written_and_read_as_in_its_golden_file() {
    for kind in Kind::ALL {
        assert_eq!(difference(kind, &golden(kind)), None, "{}", path(kind).display());
    }
}

#[test]
fn a_reader_written_from_the_specification_agrees_with_every_golden_file() {
    for kind in Kind::ALL {
        for ((name, body), (_, record)) in bodies(&golden(kind)).iter().zip(samples(kind)) {
            let decoded = codec::decode(kind.code(), body).unwrap();
            let read = reader::read(kind.code(), body);
            assert_eq!(read, Some(fields(&decoded)), "{name}");
            assert_eq!(read, Some(fields(&record)), "{name}");
        }
    }
}

#[test]
fn every_golden_file_has_every_choice_and_option_of_its_kind() {
    let count = |kind: Kind| samples(kind).len();
    assert_eq!(Kind::ALL.map(count), [5, 2, 2, 3, 2, 1, 3, 3, 1, 2]);
}

/// A plain Put has no policy in its bytes: what it leaves out is these values, for ever.
#[test]
fn the_policy_of_a_plain_timer_is_part_of_the_format() {
    let Retry { failures_max, deliveries_max, backoff_base_ns, backoff_max_ns } = Retry::default();
    assert_eq!((failures_max.get(), deliveries_max.get()), (20, 25));
    assert_eq!((backoff_base_ns, backoff_max_ns), (1_000_000_000, 3_600_000_000_000));
    assert_eq!(Misfire::default(), Misfire::FireOnce);
}

#[test]
fn a_golden_file_with_another_byte_is_seen() {
    let golden = golden(Kind::Complete);
    assert_eq!(difference(Kind::Complete, &golden), None);
    check_fails(
        &golden.replace("b101", "b201"),
        "slot 433: decodes to Ok(Complete(Complete { id: TimerId(7:3), occurrence: 434",
    );
}

#[test]
fn a_golden_file_with_a_byte_too_few_or_too_many_is_seen() {
    let golden = golden(Kind::Complete);
    check_fails(&format!("{}\n", golden.trim_end().strip_suffix("00").unwrap()), "Malformed");
    check_fails(&format!("{golden}00\n"), "TrailingBytes");
}

#[test]
fn a_golden_file_with_a_record_too_few_or_too_many_is_seen() {
    check_fails("# nothing\n", "0 records, and 1 are known");
    let golden = golden(Kind::Complete);
    let (_, record) = golden.split_once("\n\n").unwrap();
    check_fails(&format!("{golden}\n{record}"), "2 records, and 1 are known");
}

#[test]
fn a_golden_file_with_another_text_is_seen() {
    let golden = golden(Kind::Complete);
    check_fails(&golden.replace("# slot", "# the slot"), "line 3");
    check_fails(&format!("{golden}\n"), "end differently");
}

#[test]
fn the_reader_from_the_specification_takes_no_golden_body_that_is_cut_or_longer() {
    for kind in Kind::ALL {
        for (name, body) in bodies(&golden(kind)) {
            for len in 0..body.len() {
                assert_eq!(reader::read(kind.code(), &body[..len]), None, "{name}");
            }
            assert_eq!(reader::read(kind.code(), &[&body[..], &[0]].concat()), None, "{name}");
        }
    }
}
