//! A directory as a text that can be reviewed: each file with its length, and of its bytes every line of 32 that is not all
//! zero, in hex behind its offset in hex.

use std::collections::BTreeMap;

/// The names and the bytes of all files.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// The files in such a text. Lines that begin with `#` are passed over.
pub(crate) fn unpack(text: &str) -> Files {
    let mut files = Files::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(file) = line.strip_prefix("file ") {
            let (is, len) = file.split_once(' ').expect("a name and a length");
            name = is.to_owned();
            files.insert(name.clone(), vec![0; len.parse().expect("a length")]);
            continue;
        }
        let (offset, digits) = line.split_once(' ').expect("an offset and bytes");
        let offset = usize::from_str_radix(offset, 16).expect("an offset in hex");
        let pairs = digits.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
        let bytes: Vec<_> = pairs.map(|pair| u8::from_str_radix(pair, 16).expect("a byte in hex")).collect();
        let file = files.get_mut(&name).expect("a file before its bytes");
        file[offset..offset + bytes.len()].copy_from_slice(&bytes);
    }
    files
}
