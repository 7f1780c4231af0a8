//! What must be true of sealing, for files of any formatting.

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value as Data;
use zeroize::Zeroizing;

use super::close::edit;
use super::halves::{Half, halves, open_all, reported};
use super::restore::restore;
use super::{Keyring, Secret, is_sealed};
use crate::include::Sources;
use crate::random_client::client_with_keys;
use crate::yaml::Edited;

pub(crate) fn keyring() -> Keyring {
    Keyring::new(Secret::KeyFile(Zeroizing::new(vec![7; 32])))
}

fn load(dir: &tempfile::TempDir, text: &str) -> Sources {
    let path: PathBuf = dir.path().join("x.yaml");
    std::fs::write(&path, text).unwrap();
    Sources::load(&[path]).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Those that are not sealed, or those that are.
fn of<'a, 'b>(all: &'b [Half<'a>], sealed: bool) -> Vec<&'b Half<'a>> {
    all.iter()
        .filter(|half| half.private.is_sealed() == sealed)
        .collect()
}

fn text(edited: &BTreeMap<usize, Edited>, sources: &Sources) -> String {
    let edited = edited.get(&0).map(|edited| &edited.text);
    edited.unwrap_or(&sources.documents[0].text).to_string()
}

/// The edits that seal a file.
fn sealed(sources: &Sources) -> BTreeMap<usize, Edited> {
    let all = halves(sources).unwrap();
    let text = || sources.documents[0].text.to_string();
    edit(sources, &of(&all, false), &keyring()).unwrap_or_else(|e| panic!("{e}\n{}", text()))
}

/// A file's text with everything sealed.
pub(crate) fn sealed_text(sources: &Sources) -> String {
    text(&sealed(sources), sources)
}

/// A file's text with everything unsealed.
pub(crate) fn unsealed(sources: &Sources) -> String {
    let all = halves(sources).unwrap();
    let sealed = of(&all, true);
    let opened = open_all(&sealed, &keyring()).unwrap();
    text(&restore(&sealed, opened).unwrap(), sources)
}

/// The same data with other private halves: whatever is sealed or a secret.
fn without_secrets(data: &Data) -> Data {
    match data {
        Data::String(text) if is_sealed(text) || text.contains("SECRET") => Data::Bool(true),
        Data::Array(items) => items.iter().map(without_secrets).collect(),
        Data::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), without_secrets(value)))
            .collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn a_file_of_any_formatting_is_what_it_was_after_it_was_sealed_and_unsealed(
        choices in prop::collection::vec(any::<u8>(), 200..600),
    ) {
        let written = client_with_keys(&choices);
        let dir = tempfile::tempdir().unwrap();
        let before = load(&dir, &written);
        let all = halves(&before).unwrap_or_else(|e| panic!("{e}\n{written}"));
        let edited = sealed(&before);
        let sealed = text(&edited, &before);
        prop_assert!(!sealed.contains("SECRET"), "{}\n=>\n{}", written, sealed);
        prop_assert_eq!(sealed.matches("sealed.v1.keyfile.").count(), all.len());
        let data = |text: &str| -> Data {
            serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
        };
        prop_assert_eq!(without_secrets(&data(&written)), without_secrets(&data(&sealed)));
        // Each stands where the report says.
        let lines: Vec<&str> = sealed.lines().collect();
        for half in reported(&of(&all, false), &edited) {
            let key = half.key.rsplit('.').next().unwrap();
            prop_assert!(lines[half.line - 1].contains(key), "{}: {:?}", sealed, half);
        }

        let after = load(&dir, &sealed);
        let again = halves(&after).unwrap();
        prop_assert_eq!((of(&again, false).len(), of(&again, true).len()), (0, all.len()));
        prop_assert_eq!(unsealed(&after), written);
    }

    #[test]
    fn a_file_that_was_edited_while_it_was_sealed_is_unsealed_with_its_values_and_comments(
        choices in prop::collection::vec(any::<u8>(), 200..600),
        edits in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        let written = client_with_keys(&choices);
        let dir = tempfile::tempdir().unwrap();
        let sealed = sealed_text(&load(&dir, &written));
        let data = |text: &str| -> Data {
            serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
        };
        // Written anew by some tool, every line and column of it elsewhere.
        for anew in [serde_json::to_string(&data(&sealed)), serde_json::to_string_pretty(&data(&sealed))] {
            let unsealed = unsealed(&load(&dir, &anew.unwrap()));
            prop_assert_eq!(data(&unsealed), data(&written), "{}", unsealed);
        }
        // Comments and blank lines behind and below the sealed values.
        let mut edits = edits.iter().cycle().map(|edit| usize::from(*edit));
        let mut edited = String::new();
        for line in sealed.split_inclusive('\n') {
            let bare = line.trim_end_matches(['\r', '\n']);
            if !bare.contains("sealed.v1.") {
                edited.push_str(line);
                continue;
            }
            edited.push_str(bare);
            edited.push_str(["", "  # added", " ", "   # added # twice"][edits.next().unwrap() % 4]);
            edited.push_str(if line.ends_with("\r\n") { "\r\n" } else { "\n" });
            for _ in 0..edits.next().unwrap() % 3 {
                let indent = [0, 1, 4, 12, 30][edits.next().unwrap() % 5];
                edited.push_str(&" ".repeat(indent));
                edited.push_str(["# added", "#added", "", "# added: {\""][edits.next().unwrap() % 4]);
                edited.push('\n');
            }
        }
        prop_assert_eq!(data(&edited), data(&sealed));
        let unsealed = unsealed(&load(&dir, &edited));
        prop_assert_eq!(data(&unsealed), data(&written), "{}", unsealed);
        prop_assert_eq!(unsealed.matches("added").count(), edited.matches("added").count(), "{}", unsealed);
    }
}
