//! Faults that stood in the way of reading, told as findings.

use super::finding::{Code, Finding, Severity};
use crate::error::{Error, Place};
use crate::layout::Layout;
use crate::yaml::Mark;

/// The hosts of all clients, each with the part of a file that describes it.
#[derive(Default)]
pub(super) struct Owners(Vec<(Place, Place, String)>);

impl Owners {
    pub(super) fn add(&mut self, layout: &Layout<'_>) {
        for host in layout.masters.iter().chain(&layout.assets) {
            let place = |mark: Mark| host.view.document.place(mark);
            let (start, end) = (place(host.view.node.start), place(host.view.node.end));
            self.0.push((start, end, host.fqdn.clone()));
        }
    }

    fn at(&self, place: &Place) -> Option<&str> {
        let position = (place.line, place.column);
        let within = |(start, end, _): &&(Place, Place, String)| {
            start.file == place.file
                && (start.line, start.column) <= position
                && position < (end.line, end.column)
        };
        self.0.iter().find(within).map(|(_, _, fqdn)| fqdn.as_str())
    }
}

pub(super) fn finding(error: &Error, owners: &Owners) -> Finding {
    let fault = |code, place: &Place, message: String, remedy: &str| {
        let finding = Finding::new(Severity::Fault, code, place.clone(), message, remedy);
        match owners.at(place).filter(|fqdn| !fqdn.is_empty()) {
            Some(fqdn) => finding.owner(fqdn),
            None => finding,
        }
    };
    match error {
        Error::NotUtf8(place) => fault(
            Code::Unreadable,
            place,
            "not UTF-8".to_owned(),
            "save the file as UTF-8",
        ),
        Error::Syntax { place, what, tab } => fault(
            Code::Syntax,
            place,
            format!("this is no YAML: {what}"),
            match tab {
                true => "indent with spaces",
                false => "repair it; nothing else in this file could be checked",
            },
        ),
        Error::SeveralDocuments(place) => fault(
            Code::Syntax,
            place,
            "a second YAML document begins here".to_owned(),
            "remove it: a client's file holds one",
        ),
        Error::DuplicateKey { key, first, second } => fault(
            Code::DuplicateKey,
            second,
            format!("`{key}` is used twice in this mapping, first at {first}"),
            "remove one of them",
        )
        .key(key),
        Error::DuplicateFqdn { fqdn, first, second } => fault(
            Code::DuplicateFqdn,
            second,
            format!("`{fqdn}` is already at {first}"),
            "give each asset and master its own fqdn",
        )
        .owner(fqdn),
        Error::WrongKind {
            place,
            key,
            expected,
            found,
        } => fault(
            Code::WrongKind,
            place,
            format!("`{key}` must be {expected}, this is {found}"),
            wrong_kind(key),
        )
        .key(key),
        Error::Missing { place, key, expected } => fault(
            Code::MissingValue,
            place,
            format!("`{key}` is missing here"),
            &format!("add it: it must be {expected}"),
        )
        .key(*key),
        Error::Include { place, path, source } => fault(
            Code::Include,
            place,
            format!(
                "`include` names {}, which cannot be read: {source}",
                path.display()
            ),
            "correct the name, or take it out",
        ),
        Error::CircularInclude { place, path } => fault(
            Code::Include,
            place,
            format!("{} includes itself this way", path.display()),
            "take it out of `include`, or add it to `skip_files`",
        ),
        Error::Read { file, source } => fault(
            Code::Unreadable,
            &whole(file),
            format!("cannot read it: {source}"),
            "let whoever runs this read it",
        ),
        // Reading has no others.
        other => fault(
            Code::Unreadable,
            &whole(std::path::Path::new("")),
            other.to_string(),
            "repair it",
        ),
    }
}

fn whole(file: &std::path::Path) -> Place {
    Place {
        file: file.to_owned(),
        line: 1,
        column: 1,
    }
}

fn wrong_kind(key: &str) -> &'static str {
    match key {
        "minion" | "master" | "master_sign" | "master_sign_old" => {
            "write both halves below it, as texts: `pem: |` and `pub: |`"
        }
        "pipeline" => "write `id`, `pem: |` and `pub: |` below it",
        "root_ed25519" => "write both halves below it, as texts: `priv: |` and `pub: |`",
        "pem" | "priv" | "pub" => "write the key as a `|` text",
        "pki" => "write the pairs below it, as in `minion: {pem: …, pub: …}`",
        "type" => "clients of another type have no keys here: take the file out of the check",
        "active" => "write True or False, without quotes",
        _ => "correct it",
    }
}
