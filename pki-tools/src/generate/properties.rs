//! What must be true after an edit, for files of any formatting.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value as Data;
use zeroize::Zeroizing;

use super::plan::Plan;
use super::report;
use crate::generate::Options;
use crate::include::Sources;
use crate::layout::Layout;
use crate::random_client::client;

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

fn plan(sources: &Sources) -> Plan<'_> {
    let documents = sources.clients().next().unwrap();
    let layout = Layout::of(&documents).unwrap_or_else(|e| panic!("{e}"));
    let mut plan = Plan::default();
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
        let plan = plan(&sources);
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
        prop_assert!(self::plan(&load(&dir, new)).items.is_empty());
    }
}
