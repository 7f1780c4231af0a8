//! Values as Python has them once Salt has decoded them, and what Python says of them.
//!
//! Salt's outputters are Python and lean on it: `str()`, `repr()`, truth, the order of keys, what counts as a line
//! break. Their output can only be the same where these are the same.

mod date;
mod number;
mod order;
mod pretty;
mod repr;
mod strings;
mod wrap;

use proto::message::{Limits, Value};

pub(super) use date::Date;
pub(super) use number::{float_repr, parse_float};
pub(super) use order::{compare, sorted};
pub(super) use pretty::pretty;
pub(super) use repr::{fmt_repr, fmt_str, to_str};
pub(super) use strings::{is_space, lines};
pub(super) use wrap::fill;

/// Extension type of `datetime`, which Salt sends as text.
const DATE: i8 = 78;
/// Extension type of Salt's own constants (`salt.defaults._Constant`).
const CONSTANT: i8 = 79;

/// What a value is in Python, after `salt.payload.loads`.
#[derive(Debug, Clone)]
pub(super) enum Object<'a> {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(&'a str),
    /// What is not UTF-8 stays `bytes`.
    Bytes(&'a [u8]),
    List(&'a [Value]),
    Dict(&'a [(Value, Value)]),
    Date(Date),
    /// Name and value of one of Salt's constants.
    Constant(String, Value),
}

impl<'a> From<&'a Value> for Object<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Nil => Self::None,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::Int(number) => Self::Int(i128::from(*number)),
            Value::UInt(number) => Self::Int(i128::from(*number)),
            Value::Float(number) => Self::Float(*number),
            Value::Raw(bytes) => Self::raw(bytes),
            Value::Array(items) => Self::List(items),
            Value::Map(entries) => Self::Dict(entries),
            Value::Ext(DATE, bytes) => Date::parse(bytes).map_or_else(|| Self::raw(bytes), Self::Date),
            Value::Ext(CONSTANT, bytes) => Self::constant(bytes),
            Value::Ext(_, bytes) => Self::raw(bytes),
        }
    }
}

impl<'a> Object<'a> {
    /// `decode_embedded_strs` in `salt/transport/frame.py`: text if it can be read as text.
    fn raw(bytes: &'a [u8]) -> Self {
        std::str::from_utf8(bytes).map_or(Self::Bytes(bytes), Self::Str)
    }

    /// A constant is sent as `[name, value]`. Nested values are taken for raw bytes: Salt has none, and they could
    /// nest constants without end.
    fn constant(bytes: &'a [u8]) -> Self {
        let limits = Limits { depth: 1, values: 3 };
        let Ok(Value::Array(parts)) = Value::decode(bytes, limits) else {
            return Self::raw(bytes);
        };
        let Ok([name, value]) = <[Value; 2]>::try_from(parts) else {
            return Self::raw(bytes);
        };
        match (name.as_text(), &value) {
            (Some(name), value) if !matches!(value, Value::Ext(..)) => {
                Self::Constant(name.to_owned(), value.clone())
            }
            _ => Self::raw(bytes),
        }
    }

    /// Python's `bool()`.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(truth) => *truth,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::Bytes(bytes) => !bytes.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Dict(entries) => !entries.is_empty(),
            Self::Date(_) | Self::Constant(..) => true,
        }
    }
}
