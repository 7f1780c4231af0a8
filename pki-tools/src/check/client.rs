//! A client as a whole: its masters, the keys that it lacks, what is superseded or under way.

use std::collections::BTreeSet;
use std::path::Path;

use super::finding::{Code, Finding, Severity};
use crate::error::Place;
use crate::keys::{Key, Role};
use crate::layout::{Host, Layout};
use crate::seal::Owner;
use crate::yaml::{Document, View};

/// A client that is checked.
pub(super) struct Client<'c, 'a> {
    /// Its top file.
    pub(super) file: &'c Path,
    pub(super) documents: &'c [&'a Document],
    pub(super) layout: &'c Layout<'a>,
    pub(super) keys: &'c [Key<'a>],
    /// Whether all its files could be read: if not, what seems to be missing may be there.
    pub(super) complete: bool,
}

/// Keys and halves that are there, but elsewhere: they must not be made anew.
pub(super) type Misplaced = BTreeSet<(Owner, Role)>;

impl Client<'_, '_> {
    pub(super) fn owner(&self) -> Owner {
        let name = self.layout.name.as_ref().and_then(|name| name.node.scalar());
        Owner::Client(name.unwrap_or_default().to_owned())
    }

    /// How to make what is missing.
    fn gen_remedy(&self) -> String {
        format!("make it with `pki-tools gen {}`", self.file.display())
    }
}

pub(super) fn check(client: &Client<'_, '_>, misplaced: &Misplaced, findings: &mut Vec<Finding>) {
    old_names(client, findings);
    superseded(client, findings);
    let layout = client.layout;
    match layout.kind {
        Some("salt") => {
            if client.complete {
                masters(client, findings);
                own_keys(client, misplaced, findings);
            }
            host_keys(client, misplaced, findings);
            rotation(client, findings);
        }
        Some(_) => salt_ssh(client, findings),
        None => no_client(client, findings),
    }
}

fn no_client(client: &Client<'_, '_>, findings: &mut Vec<Finding>) {
    let mut roots = client.documents.iter().filter_map(|d| View::root(d));
    // If it is there, its type is unknown, which was told.
    if !client.complete || roots.any(|root| root.get("configuration_management").is_some()) {
        return;
    }
    if let Some(top) = client.documents.first() {
        findings.push(Finding::new(
            Severity::Note,
            Code::NoClient,
            top.top(),
            "it has no `configuration_management`, so only the pairs in it were checked",
            "name the client's top file to check it as a part of that",
        ));
    }
}

fn old_names(client: &Client<'_, '_>, findings: &mut Vec<Finding>) {
    for root in client.documents.iter().filter_map(|d| View::root(d)) {
        if let Some(found) = root.find("servers") {
            findings.push(Finding::new(
                Severity::Warning,
                Code::OldName,
                root.document.place(found.entry.key.start),
                "`servers` is the old name of `assets`",
                "rename it to `assets`; if that is there, too, join both lists",
            ));
        }
    }
}

/// What stands in a file, but a later file has it, too.
fn superseded(client: &Client<'_, '_>, findings: &mut Vec<Finding>) {
    let mut tell = |places: Vec<Place>, what: &str, severity, code, remedy: &str| {
        let Some((last, earlier)) = places.split_last() else {
            return;
        };
        for place in earlier {
            let message = format!("`{what}` does not count here: {last} supersedes it");
            let finding = Finding::new(severity, code, place.clone(), message, remedy);
            findings.push(finding.owner(client.owner()).key(what));
        }
    };
    let salt = &client.layout.salt;
    let at = |view: &View<'_>, key: &str| {
        let found = view.find(key).filter(|found| !found.value.node.is_null())?;
        Some(view.document.place(found.entry.key.start))
    };
    let masters = salt.iter().filter_map(|salt| at(salt, "masters")).collect();
    let remedy = "keep one of them";
    tell(
        masters,
        "masters",
        Severity::Warning,
        Code::Superseded,
        "keep one list with all masters",
    );
    for key in ["master_sign", "master_sign_old", "pipeline"] {
        let places = salt.iter().filter_map(|salt| at(&salt.get("pki")?, key));
        let (severity, code) = match key {
            "master_sign" => (Severity::Fault, Code::SecondMasterSign),
            _ => (Severity::Warning, Code::Superseded),
        };
        tell(places.collect(), &format!("pki.{key}"), severity, code, remedy);
    }
}

fn masters(client: &Client<'_, '_>, findings: &mut Vec<Finding>) {
    let layout = client.layout;
    let active = layout.masters.iter().filter(|master| master.active).count();
    if active == 2 {
        return;
    }
    let list = layout.salt_with(&["masters"]);
    let place = match &list {
        Some(salt) => salt
            .find("masters")
            .map(|found| salt.document.place(found.entry.key.start)),
        None => layout.salt.last().map(View::place),
    };
    let place = place.or_else(|| Some(client.documents.first()?.top()));
    let Some(place) = place else { return };
    let message = match active {
        0 => "there is no active master".to_owned(),
        1 => "there is one active master, and nothing to fail over to".to_owned(),
        many => format!("there are {many} active masters"),
    };
    findings.push(
        Finding::new(
            Severity::Warning,
            Code::Masters,
            place,
            message,
            "a client should have two: add one, or set `active` of others to False",
        )
        .owner(client.owner()),
    );
}

/// The client's own pairs.
fn own_keys(client: &Client<'_, '_>, misplaced: &Misplaced, findings: &mut Vec<Finding>) {
    let layout = client.layout;
    let place = layout
        .salt_with(&["pki"])
        .and_then(|salt| Some((salt.find("pki")?, salt)))
        .map(|(found, salt)| salt.document.place(found.entry.key.start))
        .or_else(|| layout.salt.last().map(View::place))
        .or_else(|| Some(client.documents.first()?.top()));
    let Some(place) = place else { return };
    if layout.name.is_none() {
        findings.push(
            Finding::new(
                Severity::Fault,
                Code::MissingValue,
                client.documents.first().map_or(place.clone(), |top| top.top()),
                "`name` is missing here",
                "add it: it must be the client's name",
            )
            .key("name"),
        );
    }
    let owner = client.owner();
    for (key, role) in [("master_sign", Role::MasterSign), ("pipeline", Role::Pipeline)] {
        let there = layout.pki(key);
        lacks(client, &owner, role, there.as_ref(), &place, misplaced, findings);
        if role == Role::Pipeline
            && let Some(view) = there
            && view.get("id").is_none()
            && !view.node.entries().is_empty()
        {
            findings.push(
                Finding::new(
                    Severity::Fault,
                    Code::MissingId,
                    view.place(),
                    "`pki.pipeline` has no `id`",
                    client.gen_remedy(),
                )
                .owner(&owner)
                .key("pki.pipeline.id"),
            );
        }
    }
}

fn host_keys(client: &Client<'_, '_>, misplaced: &Misplaced, findings: &mut Vec<Finding>) {
    let mut check = |host: &Host<'_>, role: Role| {
        let owner = Owner::Host(host.fqdn.clone());
        let mut path = role.field().split('.');
        let there = path.try_fold(host.view.clone(), |view, key| view.get(key));
        let place = host.place();
        lacks(client, &owner, role, there.as_ref(), &place, misplaced, findings);
    };
    for master in client.layout.masters.iter().filter(|host| host.active) {
        for role in [Role::RootEd25519, Role::MasterMinion, Role::Master] {
            check(master, role);
        }
    }
    let servers = client.layout.assets.iter().filter(|host| host.server);
    for server in servers.filter(|host| host.active) {
        check(server, Role::Minion);
    }
}

/// Tells what a pair lacks. `there` is what stands at its place.
fn lacks(
    client: &Client<'_, '_>,
    owner: &Owner,
    role: Role,
    there: Option<&View<'_>>,
    place: &Place,
    misplaced: &Misplaced,
    findings: &mut Vec<Finding>,
) {
    if misplaced.contains(&(owner.clone(), role)) {
        return;
    }
    let field = role.field();
    let key = client
        .keys
        .iter()
        .find(|key| (&key.owner, key.role) == (owner, role));
    let (place, code, message, remedy) = match key {
        // It is of the wrong kind, which was told.
        None if there.is_some() => return,
        None => (
            place.clone(),
            Code::MissingKey,
            format!("`{field}` is missing"),
            client.gen_remedy(),
        ),
        Some(key) => {
            let private = role.private();
            let empty_text = |half: &str| key.pair.get(half).is_some_and(|half| is_empty_text(&half));
            // A half of the wrong kind was told, too.
            let absent = |half: &str| {
                let half = key.pair.get(half);
                half.is_none_or(|half| half.node.is_empty_mapping() || is_empty_text(&half))
            };
            let halves = (key.private.is_some(), key.public.is_some());
            let make = match empty_text(private) || empty_text("pub") {
                // `gen` fills nothing but nulls and `{}`.
                true => format!("remove the empty text, and {}", client.gen_remedy()),
                false => client.gen_remedy(),
            };
            match halves {
                (false, false) if absent(private) && absent("pub") => (
                    key.pair.place(),
                    Code::MissingKey,
                    format!("`{field}` is empty"),
                    make,
                ),
                (true, false) if absent("pub") => (
                    key.pair.place(),
                    Code::MissingPublic,
                    format!("`{field}` has no `pub`"),
                    make,
                ),
                (false, true) if absent(private) => (
                    key.pair.place(),
                    Code::MissingPrivate,
                    format!("`{field}` has `pub` but no `{private}`, which cannot be made from it"),
                    format!(
                        "restore `{private}` from the host that has it, or remove `pub` and {}",
                        client.gen_remedy()
                    ),
                ),
                _ => return,
            }
        }
    };
    findings.push(
        Finding::new(Severity::Fault, code, place, message, remedy)
            .owner(owner)
            .key(field),
    );
}

fn is_empty_text(view: &View<'_>) -> bool {
    view.node.scalar().is_some_and(|text| text.trim().is_empty())
}

fn rotation(client: &Client<'_, '_>, findings: &mut Vec<Finding>) {
    let layout = client.layout;
    let Some(old) = layout
        .pki("master_sign_old")
        .filter(|old| !old.node.is_empty_mapping())
    else {
        return;
    };
    let file = client.file.display();
    let signs = match layout.masters.iter().find(|master| master.active) {
        Some(first) => format!("{} still signs with the old pair", first.fqdn),
        None => "the first active master signs with the old pair".to_owned(),
    };
    findings.push(
        Finding::new(
            Severity::Warning,
            Code::RotationUnderWay,
            old.place(),
            format!("a rotation of `master_sign` is under way: {signs}, all others with the new one"),
            format!(
                "when all minions have the new `master_sign.pub`, run `pki-tools rotate {file} master_sign --finish` \
                 and install that master again"
            ),
        )
        .owner(client.owner())
        .key(Role::MasterSignOld.field()),
    );
}

fn salt_ssh(client: &Client<'_, '_>, findings: &mut Vec<Finding>) {
    let has = |key: &&Key<'_>| key.private.is_some() || key.public.is_some();
    let count = client.keys.iter().filter(has).count();
    let Some(first) = client.keys.iter().find(has) else {
        return;
    };
    let message = match count {
        1 => "it has a pair, though its type is salt-ssh: no master or minion uses it".to_owned(),
        _ => format!("it has {count} pairs, though its type is salt-ssh: no master or minion uses them"),
    };
    findings.push(
        Finding::new(
            Severity::Warning,
            Code::UnusedKeys,
            first.pair.place(),
            message,
            "remove them, or correct `configuration_management.type`",
        )
        .owner(client.owner()),
    );
}
