//! `datetime.datetime`, as Salt sends it and as Python prints it.

use std::fmt::{self, Write};

/// A date with a time of day, without a time zone. The parts are in the order in which dates compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::output) struct Date {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    microsecond: u32,
}

impl Date {
    /// Reads what `strftime("%Y%m%dT%H:%M:%S.%f")` wrote (`salt/payload.py`).
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (day, time) = std::str::from_utf8(bytes).ok()?.split_once('T')?;
        let (time, fraction) = time.split_once('.')?;
        let mut clock = time.split(':').map(|part| digits(part, 2));
        let (year, rest) = day.split_at_checked(4)?;
        let (month, day) = rest.split_at_checked(2)?;
        let date = Self {
            year: digits(year, 4)?,
            month: digits(month, 2)?,
            day: digits(day, 2)?,
            hour: clock.next()??,
            minute: clock.next()??,
            second: clock.next()??,
            microsecond: digits(fraction, 6)?,
        };
        clock.next().is_none().then_some(date)
    }

    /// `isoformat(separator)`; with a blank it is also `str()`.
    pub(in crate::output) fn fmt_iso(self, separator: char, out: &mut impl Write) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            microsecond,
        } = self;
        write!(
            out,
            "{year:04}-{month:02}-{day:02}{separator}{hour:02}:{minute:02}:{second:02}"
        )?;
        if microsecond != 0 {
            write!(out, ".{microsecond:06}")?;
        }
        Ok(())
    }

    /// `repr()`, which leaves out seconds and microseconds that are zero.
    pub(super) fn fmt_repr(self, out: &mut impl Write) -> fmt::Result {
        let Self {
            year,
            month,
            day,
            hour,
            minute,
            second,
            microsecond,
        } = self;
        write!(out, "datetime.datetime({year}, {month}, {day}, {hour}, {minute}")?;
        if second != 0 || microsecond != 0 {
            write!(out, ", {second}")?;
        }
        if microsecond != 0 {
            write!(out, ", {microsecond}")?;
        }
        out.write_char(')')
    }
}

/// A number of exactly so many digits.
fn digits(text: &str, count: usize) -> Option<u32> {
    let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}
