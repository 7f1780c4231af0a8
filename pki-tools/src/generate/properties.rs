//! What must be true after an edit, for files of any formatting.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value as Data;
use zeroize::Zeroizing;

use super::plan::Plan;
use super::report;
use crate::generate::Options;
use crate::generate::make::private_text;
use crate::include::Sources;
use crate::layout::Layout;
use crate::random_client::{client, client_with_keys};
use crate::seal::properties::{keyring, sealed_text, unsealed};
use crate::seal::{Keyring, Sealing};

/// Everything of the old is in the new; only nothing may have become something.
fn kept(old: &Data, new: &Data) -> bool {
    match (old, new) {
        (Data::Null, _) => true,
        (Data::Object(old), _) if old.is_empty() => true,
        (Data::Object(old), Data::Object(new)) => old
            .iter()
            .all(|(key, value)| new.get(key).is_some_and(|new| kept(value, new))),
        (Data::Array(old), Data::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| kept(old, new))
        }
        _ => old == new,
    }
}

/// How many of these texts stand in the data.
fn count(data: &Data, text: &str) -> usize {
    match data {
        Data::String(value) => usize::from(value.trim_end() == text),
        Data::Array(items) => items.iter().map(|item| count(item, text)).sum(),
        Data::Object(map) => map.values().map(|value| count(value, text)).sum(),
        _ => 0,
    }
}

fn load(dir: &tempfile::TempDir, text: &str) -> Sources {
    let path: PathBuf = dir.path().join("x.yaml");
    std::fs::write(&path, text).unwrap();
    Sources::load(&[path]).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

fn plan<'a>(sources: &'a Sources, sealing: &'a Sealing<'a>) -> Plan<'a> {
    let documents = sources.clients().next().unwrap();
    let layout = Layout::of(&documents).unwrap_or_else(|e| panic!("{e}"));
    let mut plan = Plan::new(sealing);
    plan.client(&documents, &layout, &[])
        .unwrap_or_else(|e| panic!("{e}"));
    plan
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_file_of_any_formatting_keeps_its_bytes_and_data(choices in prop::collection::vec(any::<u8>(), 200..600)) {
        let text = client(&choices);
        let dir = tempfile::tempdir().unwrap();
        let sources = load(&dir, &text);
        let keyring = Keyring::none();
        let sealing = Sealing::of(&sources, &keyring).unwrap();
        let plan = plan(&sources, &sealing);
        let texts: Vec<_> = (0..2 * plan.jobs.len())
            .map(|n| Zeroizing::new(format!("-----BEGIN {n}-----\nAAAA/+=\n-----END {n}-----")))
            .collect();
        let edited = plan.changes.apply(&sources, &texts).unwrap_or_else(|e| panic!("{e}\n{text}"));
        // Two masters with three pairs, three servers with one, two of the client; some may share a line.
        prop_assert_eq!(plan.jobs.len(), 11);

        let report = report(&sources, &plan, &edited, Vec::new(), &Options::default());
        let new = edited[&0].text.as_str();
        let mut old = new.to_owned();
        for edit in report.edited[0].edits.iter().rev() {
            old.replace_range(edit.offset..edit.offset + edit.length, &edit.replaced);
        }
        prop_assert_eq!(&old, &text);
        let nothing = |c: char| " ~nul{}".contains(c);
        let replaced_nothing = report.edited[0].edits.iter().all(|edit| edit.replaced.chars().all(nothing));
        prop_assert!(replaced_nothing);

        let data: Data = serde_saphyr::from_str(new).unwrap_or_else(|e| panic!("{e}\n{new}"));
        prop_assert!(kept(&serde_saphyr::from_str(&text).unwrap(), &data), "{}\n=>\n{}", text, new);
        for text in &texts {
            prop_assert_eq!(count(&data, text), 1);
        }
        prop_assert_eq!(new.ends_with('\n'), text.ends_with('\n'));
        if text.contains("\r\n") {
            prop_assert!(!new.replace("\r\n", "").contains('\n'));
        }
        // A second run has nothing to do.
        let again = load(&dir, new);
        prop_assert!(self::plan(&again, &sealing).items.is_empty());
    }

    #[test]
    fn new_keys_in_a_sealed_file_are_those_of_the_unsealed_one(choices in prop::collection::vec(any::<u8>(), 200..600)) {
        let written = client_with_keys(&choices);
        let dir = tempfile::tempdir().unwrap();
        let keyring = keyring();
        let sources = load(&dir, &written);
        let none = Sealing::of(&sources, &keyring).unwrap();
        let open = plan(&sources, &none);
        prop_assert!(open.seals.is_empty());
        let texts: Vec<_> = (0..2 * open.jobs.len())
            .map(|n| Zeroizing::new(format!("-----BEGIN {n}-----\nAAAA/+=\n-----END {n}-----\n")))
            .collect();
        let apply = |plan: &Plan<'_>, sources: &Sources, texts: &[_]| {
            let edited = plan.changes.apply(sources, texts).unwrap_or_else(|e| panic!("{e}\n{written}"));
            edited.get(&0).map_or(&sources.documents[0].text, |edited| &edited.text).to_string()
        };
        let expected = apply(&open, &sources, &texts);

        let sealed = load(&dir, &sealed_text(&sources));
        let sealing = Sealing::of(&sealed, &keyring).unwrap();
        let closed = plan(&sealed, &sealing);
        prop_assert_eq!(closed.jobs.len(), open.jobs.len());
        let mut ready = texts.clone();
        for seal in &closed.seals {
            sealing.prove(seal.document).unwrap();
            let text = &mut ready[private_text(seal.job)];
            *text = sealing.ready(seal.document, text.clone(), &seal.owner, seal.role, &seal.place).unwrap();
        }
        let both = apply(&closed, &sealed, &ready);
        // All private halves are sealed, if one was: the odd texts are public ones.
        if sealing.covers(0) {
            for text in texts.iter().step_by(2) {
                prop_assert!(!both.contains(text.lines().next().unwrap()), "{}", both);
            }
        }
        let unsealed = unsealed(&load(&dir, &both));
        let data = |text: &str| -> Data { serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}")) };
        prop_assert_eq!(data(&unsealed), data(&expected));
        // A key that has to go before a text without a line end may go after it while that is sealed.
        if written.ends_with('\n') {
            prop_assert_eq!(unsealed, expected);
        }
    }
}
