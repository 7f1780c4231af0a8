//! msgpack as Salt uses it on the ZeroMQ wire: one kind of raw bytes for text and binary.
//!
//! Salt packs with `use_bin_type=False`: text *and* binary travel as fixstr, raw16 or raw32, never as
//! str8 or bin. So a ciphertext arrives as a msgpack "string" that is not UTF-8, and whether a value is
//! text is for the field to decide. Masters take str8 and bin as well, and so do we.

/// One msgpack value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// nil, Python's `None`.
    Nil,
    /// true or false.
    Bool(bool),
    /// An integer that fits 64 bits with sign.
    Int(i64),
    /// An integer above `i64::MAX`. Larger ones travel as text.
    UInt(u64),
    /// A float; 32-bit ones are widened.
    Float(f64),
    /// Text or binary.
    Raw(Vec<u8>),
    /// An array.
    Array(Vec<Value>),
    /// A map in wire order. Keys need not be text and may repeat: the last one counts.
    Map(Vec<(Value, Value)>),
    /// An extension: 78 is a date as text, 79 one of Salt's internal constants.
    Ext(i8, Vec<u8>),
}

/// How much of a value is taken before it is refused.
///
/// A value takes at most about 32 bytes beside its content, so `values` bounds memory where the length
/// of the input does not (a megabyte of nils is a million values).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Nesting of arrays and maps.
    pub depth: usize,
    /// Values in all, containers and keys included.
    pub values: usize,
}

impl Limits {
    /// For what comes from a peer that has proved nothing yet: envelopes and sign-in replies are small and flat.
    pub const UNVERIFIED: Self = Self { depth: 4, values: 64 };
    /// For what a verified master sent: returns and pillars can be large, but are bounded all the same.
    pub const VERIFIED: Self = Self {
        depth: 128,
        values: 1 << 20,
    };
}

/// Why bytes are not a msgpack value that is taken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends before the value does.
    #[error("msgpack value is cut short")]
    Truncated,
    /// Something follows the value.
    #[error("bytes after the msgpack value")]
    TrailingBytes,
    /// The one byte that msgpack never uses.
    #[error("reserved msgpack byte 0xc1")]
    Reserved,
    /// Nested deeper than the limit.
    #[error("msgpack value is nested deeper than {0} levels")]
    TooDeep(usize),
    /// More values than the limit.
    #[error("msgpack value has more than {0} parts")]
    TooMany(usize),
}

impl Value {
    /// A text value.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Raw(text.into().into_bytes())
    }

    /// A map from field names to values, in this order.
    #[must_use]
    pub fn map<'a>(fields: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        Self::Map(
            fields
                .into_iter()
                .map(|(name, value)| (Self::text(name), value))
                .collect(),
        )
    }

    /// The bytes of a raw value.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Raw(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a raw value that is UTF-8.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(self.as_bytes()?).ok()
    }

    /// The items of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a map.
    #[must_use]
    pub fn as_map(&self) -> Option<&[(Self, Self)]> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// An integer that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Int(number) => u64::try_from(number).ok(),
            Self::UInt(number) => Some(number),
            _ => None,
        }
    }

    /// The value under a text key of a map; the last one if the key repeats, as in Python.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let found = self
            .as_map()?
            .iter()
            .rev()
            .find(|(name, _)| name.as_bytes() == Some(key.as_bytes()));
        found.map(|(_, value)| value)
    }

    /// Reads exactly one value.
    ///
    /// # Errors
    /// [`DecodeError`]; memory grows with what is read, never with what a header announces.
    pub fn decode(bytes: &[u8], limits: Limits) -> Result<Self, DecodeError> {
        let mut decoder = Decoder {
            rest: bytes,
            left: limits.values,
            limits,
        };
        let value = decoder.value(0)?;
        if decoder.rest.is_empty() {
            Ok(value)
        } else {
            Err(DecodeError::TrailingBytes)
        }
    }

    /// The form that Salt puts on the ZeroMQ wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Nil => out.push(0xc0),
            Self::Bool(false) => out.push(0xc2),
            Self::Bool(true) => out.push(0xc3),
            Self::Int(number) => match u64::try_from(*number) {
                Ok(number) => encode_uint(number, out),
                Err(_) => encode_negative(*number, out),
            },
            Self::UInt(number) => encode_uint(*number, out),
            Self::Float(number) => {
                out.push(0xcb);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Raw(bytes) => {
                // No str8 (0xd9) and no bin here: Salt's old style goes from fixstr straight to raw16.
                header(bytes.len(), Some((0xa0, 31)), None, 0xda, 0xdb, out);
                out.extend_from_slice(bytes);
            }
            Self::Array(items) => {
                header(items.len(), Some((0x90, 15)), None, 0xdc, 0xdd, out);
                for item in items {
                    item.encode_into(out);
                }
            }
            Self::Map(entries) => {
                header(entries.len(), Some((0x80, 15)), None, 0xde, 0xdf, out);
                for (key, value) in entries {
                    key.encode_into(out);
                    value.encode_into(out);
                }
            }
            Self::Ext(kind, bytes) => {
                match bytes.len() {
                    1 => out.push(0xd4),
                    2 => out.push(0xd5),
                    4 => out.push(0xd6),
                    8 => out.push(0xd7),
                    16 => out.push(0xd8),
                    length => header(length, None, Some(0xc7), 0xc8, 0xc9, out),
                }
                out.extend_from_slice(&kind.to_be_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// Writes the shortest of the length forms that are given: in the type byte (base, longest), in 8, 16 or 32 bits.
fn header(
    length: usize,
    inline: Option<(u8, u8)>,
    byte8: Option<u8>,
    byte16: u8,
    byte32: u8,
    out: &mut Vec<u8>,
) {
    if let (Some((base, longest)), Ok(length)) = (inline, u8::try_from(length))
        && length <= longest
    {
        out.push(base | length);
    } else if let (Some(byte8), Ok(length)) = (byte8, u8::try_from(length)) {
        out.extend_from_slice(&[byte8, length]);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(byte16);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        // msgpack has no longer form; a value that long does not fit a ZeroMQ message of ours either.
        out.push(byte32);
        out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }
}

fn encode_uint(number: u64, out: &mut Vec<u8>) {
    if let Ok(small) = u8::try_from(number) {
        if small > 0x7f {
            out.push(0xcc);
        }
        out.push(small);
    } else if let Ok(number) = u16::try_from(number) {
        out.push(0xcd);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        out.push(0xce);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(0xcf);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn encode_negative(number: i64, out: &mut Vec<u8>) {
    if let Ok(small) = i8::try_from(number) {
        if small < -32 {
            out.push(0xd0);
        }
        out.extend_from_slice(&small.to_be_bytes());
    } else if let Ok(number) = i16::try_from(number) {
        out.push(0xd1);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Ok(number) = i32::try_from(number) {
        out.push(0xd2);
        out.extend_from_slice(&number.to_be_bytes());
    } else {
        out.push(0xd3);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

struct Decoder<'a> {
    rest: &'a [u8],
    left: usize,
    limits: Limits,
}

impl<'a> Decoder<'a> {
    fn value(&mut self, depth: usize) -> Result<Value, DecodeError> {
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(DecodeError::TooMany(self.limits.values))?;
        let [first] = self.bytes()?;
        Ok(match first {
            0x00..=0x7f => Value::Int(i64::from(first)),
            0x80..=0x8f => self.map(usize::from(first & 0x0f), depth)?,
            0x90..=0x9f => self.array(usize::from(first & 0x0f), depth)?,
            0xa0..=0xbf => self.raw(usize::from(first & 0x1f))?,
            0xc0 => Value::Nil,
            0xc1 => return Err(DecodeError::Reserved),
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4 | 0xd9 => self.length8().and_then(|length| self.raw(length))?,
            0xc5 | 0xda => self.length16().and_then(|length| self.raw(length))?,
            0xc6 | 0xdb => self.length32().and_then(|length| self.raw(length))?,
            0xc7 => self.length8().and_then(|length| self.ext(length))?,
            0xc8 => self.length16().and_then(|length| self.ext(length))?,
            0xc9 => self.length32().and_then(|length| self.ext(length))?,
            0xca => Value::Float(f64::from(f32::from_be_bytes(self.bytes()?))),
            0xcb => Value::Float(f64::from_be_bytes(self.bytes()?)),
            0xcc => Value::Int(i64::from(u8::from_be_bytes(self.bytes()?))),
            0xcd => Value::Int(i64::from(u16::from_be_bytes(self.bytes()?))),
            0xce => Value::Int(i64::from(u32::from_be_bytes(self.bytes()?))),
            0xcf => {
                let number = u64::from_be_bytes(self.bytes()?);
                i64::try_from(number).map_or(Value::UInt(number), Value::Int)
            }
            0xd0 => Value::Int(i64::from(i8::from_be_bytes(self.bytes()?))),
            0xd1 => Value::Int(i64::from(i16::from_be_bytes(self.bytes()?))),
            0xd2 => Value::Int(i64::from(i32::from_be_bytes(self.bytes()?))),
            0xd3 => Value::Int(i64::from_be_bytes(self.bytes()?)),
            0xd4 => self.ext(1)?,
            0xd5 => self.ext(2)?,
            0xd6 => self.ext(4)?,
            0xd7 => self.ext(8)?,
            0xd8 => self.ext(16)?,
            0xdc => self.length16().and_then(|length| self.array(length, depth))?,
            0xdd => self.length32().and_then(|length| self.array(length, depth))?,
            0xde => self.length16().and_then(|length| self.map(length, depth))?,
            0xdf => self.length32().and_then(|length| self.map(length, depth))?,
            0xe0..=0xff => Value::Int(i64::from(i8::from_be_bytes([first]))),
        })
    }

    fn array(&mut self, length: usize, depth: usize) -> Result<Value, DecodeError> {
        let depth = self.deeper(depth)?;
        let mut items = Vec::new();
        for _ in 0..length {
            items.push(self.value(depth)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value, DecodeError> {
        let depth = self.deeper(depth)?;
        let mut entries = Vec::new();
        for _ in 0..length {
            let key = self.value(depth)?;
            entries.push((key, self.value(depth)?));
        }
        Ok(Value::Map(entries))
    }

    fn deeper(&self, depth: usize) -> Result<usize, DecodeError> {
        depth
            .checked_add(1)
            .filter(|&depth| depth <= self.limits.depth)
            .ok_or(DecodeError::TooDeep(self.limits.depth))
    }

    fn raw(&mut self, length: usize) -> Result<Value, DecodeError> {
        self.take(length).map(|bytes| Value::Raw(bytes.to_vec()))
    }

    fn ext(&mut self, length: usize) -> Result<Value, DecodeError> {
        let kind = i8::from_be_bytes(self.bytes()?);
        self.take(length).map(|bytes| Value::Ext(kind, bytes.to_vec()))
    }

    fn length8(&mut self) -> Result<usize, DecodeError> {
        self.bytes().map(|bytes| usize::from(u8::from_be_bytes(bytes)))
    }

    fn length16(&mut self) -> Result<usize, DecodeError> {
        self.bytes().map(|bytes| usize::from(u16::from_be_bytes(bytes)))
    }

    fn length32(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(u32::from_be_bytes(self.bytes()?)).map_err(|_| DecodeError::Truncated)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn announced_lengths_allocate_nothing() {
        for header in [0xdd_u8, 0xdf, 0xdb, 0xc6, 0xc9] {
            let bytes = [&[header][..], &u32::MAX.to_be_bytes()].concat();
            assert_eq!(
                Value::decode(&bytes, Limits::VERIFIED),
                Err(DecodeError::Truncated)
            );
        }
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused() {
        let bytes = vec![0x91; 1 << 20];
        assert_eq!(
            Value::decode(&bytes, Limits::VERIFIED),
            Err(DecodeError::TooDeep(128))
        );
    }

    #[test]
    fn more_values_than_the_limit_are_refused() {
        let mut bytes = vec![0xdd, 0x00, 0x20, 0x00, 0x00];
        bytes.resize(5 + 0x0020_0000, 0xc0);
        assert_eq!(
            Value::decode(&bytes, Limits::VERIFIED),
            Err(DecodeError::TooMany(1 << 20))
        );
    }

    #[test]
    fn a_repeated_key_counts_with_its_last_value() {
        let value = Value::map([("a", Value::Int(1)), ("a", Value::Int(2))]);
        assert_eq!(value.get("a"), Some(&Value::Int(2)));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (i64::MAX as u64 + 1..).prop_map(Value::UInt),
            any::<i32>().prop_map(|number| Value::Float(f64::from(number) / 8.0)),
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(Value::Raw),
            (any::<i8>(), proptest::collection::vec(any::<u8>(), 0..20))
                .prop_map(|(kind, bytes)| Value::Ext(kind, bytes)),
        ];
        leaf.prop_recursive(4, 64, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
                proptest::collection::vec((inner.clone(), inner), 0..20).prop_map(Value::Map),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_to_the_same(value in values()) {
            prop_assert_eq!(Value::decode(&value.encode(), Limits::VERIFIED).unwrap(), value);
        }

        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Value::decode(&bytes, Limits::VERIFIED);
            let _ = Value::decode(&bytes, Limits::UNVERIFIED);
        }
    }
}
