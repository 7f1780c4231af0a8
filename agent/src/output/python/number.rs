//! Floats, as Python writes and reads them.

/// `repr()` of a float: the shortest digits that give it back, with an exponent below 1e-4 and from 1e16.
pub(in crate::output) fn float_repr(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = shortest(number);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs());
    }
    let (sign, mantissa) = mantissa
        .strip_prefix('-')
        .map_or(("", mantissa), |digits| ("-", digits));
    let digits = mantissa.replace('.', "");
    let Ok(whole) = usize::try_from(exponent.saturating_add(1)) else {
        let zeros = usize::try_from(exponent.unsigned_abs())
            .unwrap_or(0)
            .saturating_sub(1);
        return format!("{sign}0.{:0<zeros$}{digits}", "");
    };
    if whole == 0 {
        return format!("{sign}0.{digits}");
    }
    let digits = format!("{digits:0<whole$}");
    let (whole, fraction) = digits.split_at_checked(whole).unwrap_or((&digits, ""));
    format!(
        "{sign}{whole}.{}",
        if fraction.is_empty() { "0" } else { fraction }
    )
}

/// The shortest digits that give the number back, in scientific notation. Of two that are equally near, Rust takes the
/// larger and Python the even one.
fn shortest(number: f64) -> String {
    let shortest = format!("{number:e}");
    let mantissa = shortest.split('e').next().unwrap_or_default();
    let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let even = format!("{number:.decimals$e}");
    if even.parse() == Ok(number) {
        even
    } else {
        shortest
    }
}

/// `float()` of a string.
pub(in crate::output) fn parse_float(text: &str) -> Option<f64> {
    let text = text.trim_matches(super::is_space);
    if !text.contains('_') {
        return text.parse().ok();
    }
    // An underscore may stand between two digits, and nowhere else.
    let bytes = text.as_bytes();
    let misplaced = bytes.iter().enumerate().any(|(at, byte)| {
        let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        *byte == b'_' && !(is_digit(at.checked_sub(1)) && is_digit(at.checked_add(1)))
    });
    if misplaced {
        None
    } else {
        text.replace('_', "").parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let written = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (7_207_774_031_783_746.0 / 8.0, "900971753972968.2"),
            (-123.0, "-123.0"),
            (-0.75, "-0.75"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (number, text) in written {
            assert_eq!(float_repr(number), text);
        }
    }

    #[test]
    fn floats_are_read_as_python_reads_them() {
        for (text, number) in [
            (" 1.5\n", 1.5),
            ("1_0.2_5", 10.25),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("+2.", 2.0),
        ] {
            assert_eq!(parse_float(text), Some(number), "{text}");
        }
        for text in ["", "_1", "1_", "1__0", "1_.5", "1.5 ms", "0x10", "e5"] {
            assert_eq!(parse_float(text), None, "{text}");
        }
    }
}
