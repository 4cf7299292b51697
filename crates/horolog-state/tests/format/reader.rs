//! A reader of record bodies as anybody would write it from `docs/format.md`, section "Record bodies", in any language:
//! it knows no type of Horolog's, nothing of its codec, and nothing of bincode.

/// What a body says, in the order of its bytes.
pub(crate) type Fields = Vec<(&'static str, Value)>;

/// What a field holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A little-endian number of 1, 4, 8 or 16 bytes.
    Number(u128),
    /// Bytes behind a length of 8 bytes.
    Bytes(Vec<u8>),
    /// Whether the fields that follow are there.
    Option(bool),
}

/// Reads the body of a record; `None` if its bytes are not exactly those of one.
pub(crate) fn read(kind: u8, body: &[u8]) -> Option<Fields> {
    let mut reader = Reader { rest: body, fields: Fields::new() };
    reader.record(kind)?;
    reader.rest.is_empty().then_some(reader.fields)
}

struct Reader<'a> {
    rest: &'a [u8],
    fields: Fields,
}

impl Reader<'_> {
    fn record(&mut self, kind: u8) -> Option<()> {
        match kind {
            0x01 => {
                self.number("id", 8)?;
                self.due("due")?;
                if self.option("terms")? {
                    self.terms()?;
                }
                self.bytes("payload")
            }
            0x02 => {
                self.number("id", 8)?;
                self.due("due")
            }
            0x03 => self.number("id", 8),
            0x04 => {
                self.number("id", 8)?;
                self.number("occurrence", 8)?;
                self.number("covers_from", 8)?;
                self.number("number", 4)?;
                self.number("epoch", 8)?;
                self.due_option("next_due")
            }
            0x05 => {
                self.number("id", 8)?;
                self.number("from", 8)?;
                self.number("to", 8)?;
                self.number("reason", 1)?;
                self.due_option("next_due")
            }
            0x06 => {
                self.number("id", 8)?;
                self.number("occurrence", 8)?;
                self.number("number", 4)
            }
            0x07 => {
                self.number("id", 8)?;
                self.number("occurrence", 8)?;
                self.number("number", 4)?;
                self.number("cause", 1)?;
                self.due_option("retry")?;
                self.bytes("message")
            }
            0x08 => {
                self.number("id", 8)?;
                self.number("occurrence", 8)?;
                self.number("reason", 1)?;
                self.bytes("message")
            }
            0x09 => self.reading(),
            0x0a => {
                self.number("epoch", 8)?;
                self.number("tick_len_ns", 8)?;
                self.number("generation_floor", 4)?;
                self.reading()
            }
            _ => None,
        }
    }

    fn terms(&mut self) -> Option<()> {
        self.bytes("key")?;
        self.number("misfire", 1)?;
        self.number("failures_max", 4)?;
        self.number("deliveries_max", 4)?;
        self.number("backoff_base_ns", 8)?;
        self.number("backoff_max_ns", 8)?;
        if self.option("grid")? {
            self.number("timeline", 1)?;
            self.number("anchor_ns", 8)?;
            self.number("interval_ns", 8)?;
            self.number("first_index", 8)?;
        }
        Some(())
    }

    fn reading(&mut self) -> Option<()> {
        self.number("wall_ns", 8)?;
        self.number("boottime_ns", 8)?;
        self.number("boot_id", 16)?;
        self.number("elapsed_ns", 8)
    }

    fn due(&mut self, name: &'static str) -> Option<()> {
        self.number("timeline", 1)?;
        self.number(name, 8)
    }

    fn due_option(&mut self, name: &'static str) -> Option<()> {
        if self.option(name)? { self.due(name) } else { Some(()) }
    }

    fn number(&mut self, name: &'static str, len: usize) -> Option<()> {
        let value = little_endian(self.take(len)?);
        self.fields.push((name, Value::Number(value)));
        Some(())
    }

    fn option(&mut self, name: &'static str) -> Option<bool> {
        let is_there = match self.take(1)? {
            [0] => false,
            [1] => true,
            _ => return None,
        };
        self.fields.push((name, Value::Option(is_there)));
        Some(is_there)
    }

    fn bytes(&mut self, name: &'static str) -> Option<()> {
        let len = little_endian(self.take(8)?);
        let bytes = self.take(usize::try_from(len).ok()?)?.to_vec();
        self.fields.push((name, Value::Bytes(bytes)));
        Some(())
    }

    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }
}

fn little_endian(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
}
