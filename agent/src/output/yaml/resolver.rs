//! Which plain texts YAML 1.1 reads as something else than strings (PyYAML's `resolver.py`). Those are quoted.

/// Whether a plain scalar is read back as the string that it is.
pub(super) fn is_taken_for_string(text: &str) -> bool {
    let other = is_word(text) || is_int(text) || is_float(text) || is_timestamp(text);
    !other
}

/// Booleans, null, and the merge, value and tag keys.
fn is_word(text: &str) -> bool {
    matches!(
        text,
        "yes"
            | "Yes"
            | "YES"
            | "no"
            | "No"
            | "NO"
            | "true"
            | "True"
            | "TRUE"
            | "false"
            | "False"
            | "FALSE"
            | "on"
            | "On"
            | "ON"
            | "off"
            | "Off"
            | "OFF"
            | ""
            | "~"
            | "null"
            | "Null"
            | "NULL"
            | "<<"
            | "="
            | "!"
            | "&"
            | "*"
    )
}

/// ```text
/// [-+]?0b[0-1_]+ | [-+]?0[0-7_]+ | [-+]?(?:0|[1-9][0-9_]*) | [-+]?0x[0-9a-fA-F_]+ | [-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+
/// ```
fn is_int(text: &str) -> bool {
    let number = unsigned(text);
    if let Some(rest) = number.strip_prefix('0') {
        let is_some = |digits: &str, is: fn(char) -> bool| {
            !digits.is_empty() && digits.chars().all(|digit| digit == '_' || is(digit))
        };
        return rest.is_empty()
            || is_some(rest, |digit| digit.is_digit(8))
            || rest
                .strip_prefix('b')
                .is_some_and(|digits| is_some(digits, |digit| digit.is_digit(2)))
            || rest
                .strip_prefix('x')
                .is_some_and(|digits| is_some(digits, |digit| digit.is_ascii_hexdigit()));
    }
    let (first, sexagesimal) = split_sexagesimal(number);
    is_digits(first) && sexagesimal.is_none_or(|parts| parts.split(':').all(is_sixtieth))
}

/// ```text
///   [-+]?(?:[0-9][0-9_]*)\.[0-9_]*(?:[eE][-+][0-9]+)? | \.[0-9][0-9_]*(?:[eE][-+][0-9]+)?
/// | [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]* | [-+]?\.(?:inf|Inf|INF) | \.(?:nan|NaN|NAN)
/// ```
fn is_float(text: &str) -> bool {
    let number = unsigned(text);
    if matches!(number, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    let Some((whole, rest)) = number.split_once('.') else {
        return false;
    };
    let (fraction, exponent) = rest
        .find(['e', 'E'])
        .and_then(|at| rest.split_at_checked(at))
        .map_or((rest, None), |(fraction, exponent)| (fraction, exponent.get(1..)));
    let is_exponent = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['-', '+']).unwrap_or("");
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let is_fraction = fraction.bytes().all(|byte| byte == b'_' || byte.is_ascii_digit());
    if whole.is_empty() {
        return text.starts_with('.') && is_digits(fraction) && is_exponent;
    }
    match split_sexagesimal(whole) {
        (first, None) => is_digits(first) && is_fraction && is_exponent,
        (first, Some(parts)) => {
            is_digits(first) && parts.split(':').all(is_sixtieth) && is_fraction && exponent.is_none()
        }
    }
}

/// ```text
///   [0-9]{4}-[0-9]{2}-[0-9]{2}
/// | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]*)?
///   (?:[ \t]*(?:Z|[-+][0-9]{1,2}(?::[0-9]{2})?))?
/// ```
fn is_timestamp(text: &str) -> bool {
    let mut rest = Scanner(text.as_bytes());
    if !(rest.digits(4, 4) && rest.byte(b"-")) {
        return false;
    }
    let mut day = rest.clone();
    if day.digits(2, 2) && day.byte(b"-") && day.digits(2, 2) && day.0.is_empty() {
        return true;
    }
    rest.digits(1, 2)
        && rest.byte(b"-")
        && rest.digits(1, 2)
        && (rest.byte(b"Tt") || rest.blanks())
        && rest.digits(1, 2)
        && rest.byte(b":")
        && rest.digits(2, 2)
        && rest.byte(b":")
        && rest.digits(2, 2)
        && is_fraction_with_zone(rest)
}

/// What may follow the seconds.
fn is_fraction_with_zone(mut rest: Scanner<'_>) -> bool {
    if rest.byte(b".") {
        rest.digits(0, usize::MAX);
    }
    if rest.0.is_empty() {
        return true;
    }
    rest.blanks();
    if rest.byte(b"Z") {
        return rest.0.is_empty();
    }
    let has_hours = rest.byte(b"-+") && rest.digits(1, 2);
    has_hours && (rest.0.is_empty() || rest.byte(b":") && rest.digits(2, 2) && rest.0.is_empty())
}

/// Reads bytes from the front, as long as they are what is asked for.
#[derive(Clone)]
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn byte(&mut self, any_of: &[u8]) -> bool {
        match self.0 {
            [first, rest @ ..] if any_of.contains(first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// As many digits as there are, but no more than `most`.
    fn digits(&mut self, least: usize, most: usize) -> bool {
        let mut count = 0_usize;
        while count < most && self.byte(b"0123456789") {
            count = count.saturating_add(1);
        }
        count >= least
    }

    /// All blanks, if there are any.
    fn blanks(&mut self) -> bool {
        let found = self.byte(b" \t");
        while self.byte(b" \t") {}
        found
    }
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

/// `[0-9][0-9_]*`
fn is_digits(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte == b'_' || byte.is_ascii_digit())
}

/// Before and behind the first colon.
fn split_sexagesimal(number: &str) -> (&str, Option<&str>) {
    number
        .split_once(':')
        .map_or((number, None), |(first, rest)| (first, Some(rest)))
}

/// `[0-5]?[0-9]`
fn is_sixtieth(part: &str) -> bool {
    match part.as_bytes() {
        [digit] => digit.is_ascii_digit(),
        [b'0'..=b'5', digit] => digit.is_ascii_digit(),
        _ => false,
    }
}
