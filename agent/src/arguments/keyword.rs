//! Which texts Salt takes for `name=value`.

/// Whether `KWARG_REGEX` of salt/utils/args.py may match: `^([^\d\W][\w.-]*)=(?!=)(.*)$`.
///
/// Python's `\w` and Rust's letters and digits differ in some marks of other scripts; this says yes for more.
pub(super) fn may_be_keyword(text: &str) -> bool {
    let Some((name, value)) = text.split_once('=') else {
        return false;
    };
    let word = |character: char| character == '_' || character.is_alphanumeric();
    let mut characters = name.chars();
    let begins = |first: char| word(first) && !first.is_ascii_digit();
    // `.` stops at a line break, and `$` matches in front of a last one, which is lost.
    let one_line = !value.strip_suffix('\n').unwrap_or(value).contains('\n');
    characters.next().is_some_and(begins)
        && characters.all(|character| word(character) || matches!(character, '.' | '-'))
        && !value.starts_with('=')
        && one_line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_begin_with_a_letter_and_values_stay_on_one_line() {
        for text in [
            "a=",
            "a=1",
            "_a.b-c=x=y",
            "größe=5",
            "a=b\n",
            "a= =",
            "__kwarg__=1",
        ] {
            assert!(may_be_keyword(text), "{text:?}");
        }
        for text in [
            "", "a", "=1", "1a=1", "-a=1", "a b=1", "a==1", "a=b\nc", "a=b\n\n", "'a'=1",
        ] {
            assert!(!may_be_keyword(text), "{text:?}");
        }
    }
}
