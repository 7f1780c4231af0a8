//! The commonest mistake, found before anything is sent: a `pillar=` that a shell or an editor has mangled.
//!
//! Salt takes a value that is no YAML for text, and text is no pillar to a `state.*` function
//! (`SaltInvocationError` in salt/modules/state.py), so the job could only fail.

use granit_parser::Parser;

/// Why a `pillar=` is no pillar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PillarError {
    /// It begins as a mapping and is none.
    #[error(
        "argument {argument}: pillar= is no YAML mapping: {reason}, at character {column} of the value; \
         has the shell taken its quotes? write pillar='{{\"key\": 1}}', or use --arg-json"
    )]
    NotYaml {
        /// Counted from 1, behind FUNCTION.
        argument: usize,
        /// Counted from 1.
        column: usize,
        /// The parser's.
        reason: String,
    },
    /// Salt reads no YAML from an argument with tabs or line breaks.
    #[error(
        "argument {argument}: pillar= has a {what}, and Salt takes such an argument for text; \
         write it without, or use --arg-json"
    )]
    Breaks {
        /// Counted from 1, behind FUNCTION.
        argument: usize,
        /// Tab or line break.
        what: &'static str,
    },
}

/// Looks at every `pillar={…` among the words of a `state.*` function.
pub(super) fn check<S: AsRef<str>>(function: &str, words: &[S]) -> Result<(), PillarError> {
    let has = |name: &str| words.iter().any(|word| word.as_ref().starts_with(name));
    // With `pillar_enc=` the pillar is text, to be decrypted.
    if !function.starts_with("state.") || has("pillar_enc=") {
        return Ok(());
    }
    for (index, word) in words.iter().enumerate() {
        let argument = index.saturating_add(1);
        match word.as_ref().strip_prefix("pillar=") {
            Some(value) if value.starts_with('{') => check_mapping(argument, value)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_mapping(argument: usize, value: &str) -> Result<(), PillarError> {
    if let Some(found) = value.chars().find(|found| matches!(found, '\t' | '\n' | '\r')) {
        let what = if found == '\t' { "tab" } else { "line break" };
        return Err(PillarError::Breaks { argument, what });
    }
    let Some(error) = Parser::new_from_str(value).find_map(Result::err) else {
        return Ok(());
    };
    if is_read_differently(value) {
        return Ok(());
    }
    Err(PillarError::NotYaml {
        argument,
        column: error.marker().col().saturating_add(1),
        reason: error.kind().to_string(),
    })
}

/// Whether this may be YAML to libyaml, which Salt has, and none to our parser: a comment right behind a
/// bracket, a dash alone in brackets, line breaks of Unicode.
fn is_read_differently(value: &str) -> bool {
    value.contains(['#', '\u{85}', '\u{2028}', '\u{2029}', '\u{feff}'])
        || ["- ", "-,", "-]", "-}"].iter().any(|dash| value.contains(dash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(function: &str, words: &[&str]) -> Option<String> {
        check(function, words).err().map(|error| error.to_string())
    }

    #[test]
    fn a_mangled_mapping_is_refused_and_named() {
        let split = verdict("state.apply", &["app", "pillar={v:", "3}"]).unwrap();
        assert!(
            split.starts_with("argument 2: pillar= is no YAML mapping: "),
            "{split}"
        );
        for value in ["{", "{a: 1}}", "{a: [1}", r#"{"a: 1}"#] {
            assert!(
                verdict("state.sls", &[&format!("pillar={value}")]).is_some(),
                "{value}"
            );
        }
        let broken = verdict("state.apply", &["pillar={\n\"a\": 1}"]).unwrap();
        assert!(broken.contains("has a line break"), "{broken}");
    }

    #[test]
    fn a_mapping_passes_and_so_does_what_is_not_ours_to_judge() {
        for (function, word) in [
            ("state.apply", r#"pillar={"v": 3, "u": "\/\u00e9", "l": [1, {}]}"#),
            ("state.apply", "pillar={v: 3, w: a b, 'x': http://y}"),
            ("state.apply", "pillar={}"),
            ("state.apply", "pillar=None"),
            ("state.apply", "spillar={"),
            ("test.kwarg", "pillar={"),
        ] {
            assert_eq!(verdict(function, &[word]), None, "{word}");
        }
        assert_eq!(verdict("state.apply", &["pillar={:", "pillar_enc=gpg"]), None);
    }
}
