//! What must be true of a rotation, for files of any formatting.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value as Data;
use zeroize::Zeroizing;

use super::fresh::{Desk, Halves};
use super::plan::Plan;
use crate::include::Sources;
use crate::keys::{self, Key, Role};
use crate::layout::Layout;
use crate::random_client::client_with_keys;
use crate::seal::Sealing;
use crate::seal::properties::{keyring, sealed_text, unsealed};
use crate::yaml::source;

const PRIVATE: &str = "-----BEGIN NEW PRIVATE KEY-----\nNEW/+=\n-----END NEW PRIVATE KEY-----";
const PUBLIC: &str = "-----BEGIN NEW PUBLIC KEY-----\nNEW/+=\n-----END NEW PUBLIC KEY-----";

fn load(dir: &tempfile::TempDir, text: &str) -> Sources {
    let path: PathBuf = dir.path().join("x.yaml");
    std::fs::write(&path, text).unwrap();
    Sources::load(&[path]).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// Plans something with a client's pairs and gives the text after it, with every edit as it was and as it is.
fn edit<'a>(
    sources: &'a Sources,
    work: impl FnOnce(&mut Plan<'a>, &Layout<'a>, &[Key<'a>]),
) -> (String, Vec<(String, String)>) {
    let documents = sources.clients().next().unwrap();
    let layout = Layout::of(&documents).unwrap();
    let keys = keys::all(&layout).unwrap();
    let mut plan = Plan::default();
    work(&mut plan, &layout, &keys);
    let old = &sources.documents[0].text;
    let edited = plan
        .changes
        .apply(sources, &plan.texts)
        .unwrap_or_else(|e| panic!("{e}\n{}", **old));
    let edited = &edited[&0];
    let parts = edited.edits.iter().map(|edit| {
        let now = edited.text.get(edit.offset..edit.offset + edit.length);
        (edit.replaced.to_string(), now.unwrap().to_owned())
    });
    (edited.text.to_string(), parts.collect())
}

/// A pair that is there, chosen by a number.
fn choose<'k, 'a>(keys: &'k [Key<'a>], choice: usize) -> Option<&'k Key<'a>> {
    let whole: Vec<_> = keys
        .iter()
        .filter(|key| key.private.is_some() && key.public.is_some())
        .collect();
    whole.get(choice.checked_rem(whole.len())?).copied()
}

/// Whose the chosen pair is, and the bytes of its two values, in the order of the file.
fn chosen(sources: &Sources, choice: usize) -> Option<(String, Role, String)> {
    let documents = sources.clients().next().unwrap();
    let layout = Layout::of(&documents).unwrap();
    let keys = keys::all(&layout).unwrap();
    let key = choose(&keys, choice)?;
    let mut entries = [key.private.as_ref()?.entry, key.public.as_ref()?.entry];
    entries.sort_by_key(|entry| entry.key.start.offset);
    let values = entries.map(|entry| source(key.pair.document, entry).to_string());
    Some((key.owner.to_string(), key.role, values.concat()))
}

fn has_master_sign(sources: &Sources) -> bool {
    let documents = sources.clients().next().unwrap();
    let layout = Layout::of(&documents).unwrap();
    let keys = keys::all(&layout).unwrap();
    keys.iter()
        .any(|key| key.role == Role::MasterSign && key.public.is_some())
}

fn data(text: &str) -> Data {
    serde_saphyr::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// The texts in which two documents of the same shape differ: old and new.
fn differences(old: &Data, new: &Data, found: &mut Vec<(String, String)>) {
    match (old, new) {
        (Data::String(a), Data::String(b)) if a != b => found.push((a.clone(), b.clone())),
        (Data::Array(a), Data::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).for_each(|(a, b)| differences(a, b, found));
        }
        (Data::Object(a), Data::Object(b)) if a.keys().eq(b.keys()) => {
            a.values()
                .zip(b.values())
                .for_each(|(a, b)| differences(a, b, found));
        }
        _ => assert_eq!(old, new),
    }
}

fn new_halves() -> Halves {
    Halves {
        private: Zeroizing::new(PRIVATE.to_owned()),
        public: Zeroizing::new(PUBLIC.to_owned()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_outside_of_the_two_values_stays(
        choices in prop::collection::vec(any::<u8>(), 200..600),
        choice in any::<usize>(),
    ) {
        let text = client_with_keys(&choices);
        let dir = tempfile::tempdir().unwrap();
        let sources = load(&dir, &text);
        let Some((owner, role, values)) = chosen(&sources, choice) else { return Ok(()) };
        let (new, edits) = edit(&sources, |plan, _, keys| {
            plan.replace(choose(keys, choice).unwrap(), new_halves()).unwrap();
        });
        // What went is what the two values were, what came is what they are, to the byte.
        let went: String = edits.iter().map(|(went, _)| went.as_str()).collect();
        let came: String = edits.iter().map(|(_, came)| came.as_str()).collect();
        prop_assert_eq!(went, values);
        let after = load(&dir, &new);
        let (same_owner, same_role, values) = chosen(&after, choice).unwrap();
        prop_assert_eq!((same_owner, same_role), (owner, role));
        prop_assert_eq!(came, values);
        prop_assert_eq!(new.ends_with('\n'), text.ends_with('\n'));
        if text.contains("\r\n") {
            prop_assert!(!new.replace("\r\n", "").contains('\n'));
        }
        // Another library than that of the edits reads the new texts, and elsewhere what it read before.
        let mut found = Vec::new();
        differences(&data(&text), &data(&new), &mut found);
        let mut texts: Vec<&str> = found.iter().map(|(_, new)| new.trim_end()).collect();
        texts.sort_unstable();
        prop_assert_eq!(texts, [PRIVATE, PUBLIC]);
    }

    #[test]
    fn a_pair_of_a_sealed_file_rotates_as_that_of_the_open_one(
        choices in prop::collection::vec(any::<u8>(), 200..600),
        choice in any::<usize>(),
    ) {
        let text = client_with_keys(&choices);
        let dir = tempfile::tempdir().unwrap();
        let open = load(&dir, &text);
        if chosen(&open, choice).is_none() {
            return Ok(());
        }
        let (expected, _) = edit(&open, |plan, _, keys| {
            plan.replace(choose(keys, choice).unwrap(), new_halves()).unwrap();
        });
        let closed = load(&dir, &sealed_text(&open));
        let keyring = keyring();
        let sealing = Sealing::of(&closed, &keyring).unwrap();
        let (new, _) = edit(&closed, |plan, _, keys| {
            let key = choose(keys, choice).unwrap();
            sealing.prove(0).unwrap();
            let place = key.pair.place();
            let mut halves = new_halves();
            halves.private = sealing.ready(0, halves.private, &key.owner, key.role, &place).unwrap();
            plan.replace(key, halves).unwrap();
        });
        prop_assert!(!new.contains("NEW PRIVATE"));
        prop_assert_eq!(data(&unsealed(&load(&dir, &new))), data(&expected));
    }

    #[test]
    fn a_rotation_of_master_sign_ends_as_if_it_had_no_overlap_or_had_never_been(
        choices in prop::collection::vec(any::<u8>(), 200..600),
        sealed in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut text = client_with_keys(&choices);
        if sealed {
            text = sealed_text(&load(&dir, &text));
        }
        let sources = load(&dir, &text);
        let of = |keys: &[Key<'_>], role| keys.iter().position(|key| key.role == role && key.public.is_some());
        if !has_master_sign(&sources) {
            return Ok(());
        }
        let keyring = keyring();
        let sealing = Sealing::of(&sources, &keyring).unwrap();
        let desk = Desk { sealing: &sealing, dry_run: false };
        let (begun, _) = edit(&sources, |plan, layout, keys| {
            let key = &keys[of(keys, Role::MasterSign).unwrap()];
            plan.keep_master_sign(layout, key, &desk).unwrap();
            plan.replace(key, new_halves()).unwrap();
        });
        let mid = load(&dir, &begun);
        let sealing = Sealing::of(&mid, &keyring).unwrap();
        let desk = Desk { sealing: &sealing, dry_run: false };
        let old = |keys: &[Key<'_>]| of(keys, Role::MasterSignOld).unwrap();

        let (at_once, _) = edit(&sources, |plan, _, keys| {
            plan.replace(&keys[of(keys, Role::MasterSign).unwrap()], new_halves()).unwrap();
        });
        let (finished, _) = edit(&mid, |plan, layout, keys| {
            plan.remove_master_sign_old(layout, &keys[old(keys)]).unwrap();
        });
        prop_assert_eq!(data(&finished), data(&at_once));
        if text.ends_with('\n') {
            prop_assert_eq!(finished, at_once);
        }

        let (aborted, _) = edit(&mid, |plan, layout, keys| {
            let old = &keys[old(keys)];
            plan.restore_master_sign(&keys[of(keys, Role::MasterSign).unwrap()], old, &desk).unwrap();
            plan.remove_master_sign_old(layout, old).unwrap();
        });
        let open = |text: &str| data(&unsealed(&load(&dir, text)));
        let mut found = Vec::new();
        differences(&open(&text), &open(&aborted), &mut found);
        for (old, new) in found {
            // Only the end and the line ends of a text may be others.
            prop_assert_eq!(old.trim().lines().collect::<Vec<_>>(), new.trim().lines().collect::<Vec<_>>());
        }
    }
}
