//! Names that become minion ids and file names.

use std::collections::BTreeMap;

use proto::message::MinionId;

use super::client::Client;
use super::finding::{Code, Finding, Severity};
use crate::error::Place;
use crate::keys::Role;

pub(super) fn check(client: &Client<'_, '_>, findings: &mut Vec<Finding>) {
    let layout = client.layout;
    let servers = layout.assets.iter().filter(|host| host.server);
    // The names of pillar files, and who has them.
    let mut files: BTreeMap<String, &str> = BTreeMap::new();
    for host in layout.masters.iter().chain(servers.clone()) {
        if let Some(finding) = id(&host.fqdn, host.place()) {
            let severity = match host.active {
                true => finding.severity,
                false => Severity::Warning,
            };
            findings.push(Finding { severity, ..finding }.owner(&host.fqdn).key("fqdn"));
        }
        // A dot in the name of a pillar file is a folder to Salt.
        let file = host.fqdn.replace('.', "_");
        match files.get(&file) {
            Some(first) if *first != host.fqdn => findings.push(
                Finding::new(
                    Severity::Warning,
                    Code::FileNameClash,
                    host.place(),
                    format!("its pillar files are called `{file}`, as those of {first}"),
                    "rename one of the two hosts, or do not use `pki-tools pillar`",
                )
                .owner(&host.fqdn)
                .key("fqdn"),
            ),
            Some(_) => {}
            None => {
                files.insert(file, &host.fqdn);
            }
        }
    }
    for master in layout
        .masters
        .iter()
        .filter(|master| master.fqdn == "master_sign")
    {
        // 3008 renames master.pem to ID.pem (`_setup_keys` in salt/crypt.py).
        findings.push(
            Finding::new(
                Severity::Fault,
                Code::BadId,
                master.place(),
                "a Salt 3008 master of this name would take `master_sign.pem` for its own key",
                "rename it",
            )
            .owner(&master.fqdn)
            .key("fqdn"),
        );
    }
    let Some((pipeline, place)) = pipeline(client) else {
        return;
    };
    let key = format!("{}.id", Role::Pipeline);
    findings.extend(id(pipeline, place.clone()).map(|f| f.owner(client.owner()).key(&key)));
    if let Some(host) = layout
        .masters
        .iter()
        .chain(servers)
        .find(|host| host.fqdn == pipeline)
    {
        findings.push(
            Finding::new(
                Severity::Fault,
                Code::IdClash,
                place,
                format!(
                    "the dispatch identity's id is that of a host at {}: a master accepts one key per id",
                    host.place()
                ),
                "give the dispatch identity an id of its own",
            )
            .owner(client.owner())
            .key(key),
        );
    }
}

fn pipeline<'a>(client: &Client<'_, 'a>) -> Option<(&'a str, Place)> {
    let view = client.layout.pki("pipeline")?;
    let found = view.find("id")?;
    let place = view.document.place(found.entry.value.start);
    (!found.value.node.is_null()).then_some((found.value.node.scalar()?, place))
}

/// What is wrong with a minion id.
///
/// Source: `valid_id` and `clean_path` in salt/utils/verify.py of 3006.25 and 3008.1; `list_keys` in salt/key.py and
/// `list_all` in salt/cache/localfs_key.py, which leave names with a leading dot out.
fn id(id: &str, place: Place) -> Option<Finding> {
    let bad = |message: String| {
        let remedy = "choose another name: letters, digits, `.`, `-` and `_`";
        Some(Finding::new(
            Severity::Fault,
            Code::BadId,
            place.clone(),
            message,
            remedy,
        ))
    };
    if let Some(c) = id.chars().find(|c| matches!(c, '/' | '\\' | '\0')) {
        return bad(format!("Salt refuses the minion id {id:?}: there is {c:?} in it"));
    }
    if matches!(id, "." | "..") {
        return bad(format!("Salt refuses the minion id {id:?}: it is a folder"));
    }
    if id.starts_with('.') {
        return bad(format!(
            "the minion id {id:?} begins with a dot: `salt-key` would not show its key"
        ));
    }
    if id.len() > 255 {
        return bad(format!(
            "the minion id has {} bytes: a file name, which a master needs of it, has at most 255",
            id.len()
        ));
    }
    // Stricter than Salt: ids that cannot be named as one target.
    let error = MinionId::parse(id).err()?;
    Some(Finding::new(
        Severity::Warning,
        Code::UnusualId,
        place,
        format!("Salt takes the id, saltfo does not: {error}"),
        "choose another name: letters, digits, `.`, `-` and `_`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<(Severity, Code)> {
        let place = Place {
            file: "x.yaml".into(),
            line: 1,
            column: 1,
        };
        id(text, place).map(|finding| (finding.severity, finding.code))
    }

    #[test]
    fn ids_that_salt_refuses_are_faults_and_those_that_are_patterns_are_warnings() {
        for good in ["minion01.xyz.example", "a", "A_b-c", "österreich", "a.b.", "-x"] {
            assert_eq!(code(good), None, "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "a/b",
            "../a",
            "/",
            "a\\b",
            "a\0b",
            ".",
            "..",
            ".hidden",
            ".key_cache",
            &long,
        ] {
            assert_eq!(code(bad), Some((Severity::Fault, Code::BadId)), "{bad}");
        }
        for unusual in ["web*", "a,b", "a b", "a[0]", "a\nb"] {
            assert_eq!(
                code(unusual),
                Some((Severity::Warning, Code::UnusualId)),
                "{unusual}"
            );
        }
    }
}
