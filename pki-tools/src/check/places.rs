//! Keys that stand where nothing looks for them, and halves under other names than they should have.

use std::collections::{BTreeSet, HashMap};

use super::client::{Client, Misplaced};
use super::finding::{Code, Finding, Severity};
use crate::keys::{Key, Role};
use crate::layout::Host;
use crate::seal::{Owner, is_sealed};
use crate::yaml::{Entry, Kind, Node, View};

/// Mappings that hold keys in this layout or in another.
const PAIRS: [&str; 6] = [
    "master_sign",
    "master_sign_old",
    "pipeline",
    "master",
    "minion",
    "root_ed25519",
];

/// Mappings in which people put the keys of one host without naming them further.
const FOLDERS: [&str; 5] = ["pki", "salt", "salt_minion", "salt-minion", "minion_pki"];

/// Names that a private half has elsewhere.
const PRIVATE: [&str; 8] = [
    "pem",
    "priv",
    "private",
    "private_key",
    "priv_key",
    "privkey",
    "key",
    "secret",
];

/// Names that a public half has elsewhere.
const PUBLIC: [&str; 6] = ["pub", "public", "public_key", "pub_key", "pubkey", "pub_pem"];

/// Whose part of a file it is.
#[derive(Clone, Copy)]
enum Part<'c, 'a> {
    Master(&'c Host<'a>),
    Asset(&'c Host<'a>),
    Other,
}

pub(super) fn check(client: &Client<'_, '_>, findings: &mut Vec<Finding>) -> Misplaced {
    let mut search = Search {
        client,
        known: known(client),
        hosts: hosts(client),
        misplaced: BTreeSet::new(),
        findings,
    };
    for key in client.keys {
        search.misnamed(key);
    }
    for root in client.documents.iter().filter_map(|d| View::root(d)) {
        search.walk(&root, root.node, Part::Other, &mut Vec::new());
    }
    search.misplaced
}

struct Search<'c, 'a, 'f> {
    client: &'c Client<'c, 'a>,
    /// Pairs that stand where they should, and what was told of already.
    known: BTreeSet<*const Node>,
    hosts: HashMap<*const Node, Part<'c, 'a>>,
    misplaced: Misplaced,
    findings: &'f mut Vec<Finding>,
}

fn known(client: &Client<'_, '_>) -> BTreeSet<*const Node> {
    let mut known: BTreeSet<*const Node> = BTreeSet::new();
    known.extend(client.keys.iter().map(|key| std::ptr::from_ref(key.pair.node)));
    // What a later file supersedes was told.
    if let Some((_, earlier)) = client.layout.salt.split_last() {
        let counts = client.layout.salt_with(&["masters"]);
        let masters = earlier.iter().filter_map(|salt| salt.get("masters"));
        let current = counts.and_then(|salt| salt.get("masters"));
        let current = current.map(|list| std::ptr::from_ref(list.node));
        let superseded = masters.map(|list| std::ptr::from_ref(list.node));
        known.extend(superseded.filter(|list| Some(*list) != current));
    }
    for pki in client.layout.salt.iter().filter_map(|salt| salt.get("pki")) {
        let own = ["master_sign", "master_sign_old", "pipeline"];
        known.extend(
            own.iter()
                .filter_map(|key| Some(std::ptr::from_ref(pki.get(key)?.node))),
        );
    }
    known
}

fn hosts<'c, 'a>(client: &'c Client<'c, 'a>) -> HashMap<*const Node, Part<'c, 'a>> {
    let layout = client.layout;
    let masters = layout.masters.iter().map(|host| (host, Part::Master(host)));
    let assets = layout.assets.iter().map(|host| (host, Part::Asset(host)));
    masters
        .chain(assets)
        .map(|(host, part)| (std::ptr::from_ref(host.view.node), part))
        .collect()
}

impl<'a> Search<'_, 'a, '_> {
    /// A pair without a half that has one under another name.
    fn misnamed(&mut self, key: &Key<'a>) {
        let halves = [
            (key.private.is_some(), key.role.private(), &PRIVATE[..]),
            (key.public.is_some(), "pub", &PUBLIC[..]),
        ];
        for (there, right, names) in halves {
            let entry = key.pair.node.entries().iter().find(|entry| {
                let name = entry.key.scalar().unwrap_or_default();
                name != right && names.contains(&name) && is_key(&key.pair, &entry.value)
            });
            let Some((entry, name)) = entry.filter(|_| !there).and_then(|e| Some((e, e.key.scalar()?)))
            else {
                continue;
            };
            self.misplaced.insert((key.owner.clone(), key.role));
            let field = key.role.field();
            self.findings.push(
                Finding::new(
                    Severity::Fault,
                    Code::MisnamedHalf,
                    key.pair.document.place(entry.key.start),
                    format!("`{field}` has its half in `{name}`, where nothing looks for it"),
                    format!("rename it to `{right}`"),
                )
                .owner(&key.owner)
                .key(format!("{field}.{name}")),
            );
        }
    }

    /// Looks through a part of a document. The parser limits nesting, so recursion is bounded.
    fn walk(&mut self, root: &View<'a>, node: &'a Node, part: Part<'_, 'a>, path: &mut Vec<String>) {
        let here = self.hosts.get(&std::ptr::from_ref(node)).copied();
        // Paths count from the host.
        let (part, path) = match here {
            Some(host) => (host, &mut Vec::new()),
            None => (part, path),
        };
        match &node.kind {
            Kind::Sequence { items, .. } => {
                for item in items {
                    self.walk(root, item, part, path);
                }
            }
            Kind::Mapping { entries, .. } => {
                if here.is_some() && holds_private(root, node) {
                    self.tell(root, node, part, path);
                }
                for Entry { key, value } in entries {
                    let Some(name) = key.scalar() else { continue };
                    path.push(name.to_owned());
                    let known = self.known.contains(&std::ptr::from_ref(value));
                    if !known && is_misplaced(root, name, value) {
                        self.tell(root, value, part, path);
                    } else if !known {
                        self.walk(root, value, part, path);
                    }
                    path.pop();
                }
            }
            // What an alias stands for is looked at where it stands.
            Kind::Scalar { .. } | Kind::Alias(_) => {}
        }
    }

    /// Tells of a mapping with a private key at this path below its part.
    fn tell(&mut self, root: &View<'a>, node: &'a Node, part: Part<'_, 'a>, path: &[String]) {
        let last = path.last().map(String::as_str).unwrap_or_default();
        let own = |key: &str| format!("configuration_management.salt.pki.{key}");
        let client = self.client.owner();
        let host = match part {
            Part::Master(host) | Part::Asset(host) => Some(host),
            Part::Other => None,
        };
        let place = root.document.place(node.start);
        let written = match path {
            [] => "right below its host".to_owned(),
            path => format!("in `{}`", path.join(".")),
        };
        if matches!(last, "master_sign" | "master_sign_old")
            && self.client.layout.pki("master_sign").is_some()
        {
            let finding = Finding::new(
                Severity::Fault,
                Code::SecondMasterSign,
                place,
                format!("a second `{last}` stands {written}: both masters must sign with the client's"),
                format!("remove it, or put it in place of `{}`", own("master_sign")),
            );
            let finding = match host {
                Some(host) => finding.owner(&host.fqdn),
                None => finding.owner(client),
            };
            self.findings.push(finding.key(path.join(".")));
            return;
        }
        // Where it should stand, and as whose.
        let target = match (last, part) {
            ("master_sign", _) => Some((client, Role::MasterSign)),
            ("master_sign_old", _) => Some((client, Role::MasterSignOld)),
            ("pipeline", _) => Some((client, Role::Pipeline)),
            ("master", Part::Master(host)) => Some((Owner::Host(host.fqdn.clone()), Role::Master)),
            ("root_ed25519", Part::Master(host)) => Some((Owner::Host(host.fqdn.clone()), Role::RootEd25519)),
            (_, Part::Master(host)) => Some((Owner::Host(host.fqdn.clone()), Role::MasterMinion)),
            ("master" | "root_ed25519", _) | (_, Part::Other) => None,
            (_, Part::Asset(host)) if host.server => Some((Owner::Host(host.fqdn.clone()), Role::Minion)),
            (_, Part::Asset(host)) => {
                self.findings.push(
                    Finding::new(
                        Severity::Warning,
                        Code::UnusedKeys,
                        place,
                        format!("a key stands {written}, but only assets of the kind `server` have keys"),
                        "remove it, or correct `kind`",
                    )
                    .owner(&host.fqdn)
                    .key(path.join(".")),
                );
                return;
            }
        };
        let (severity, remedy) = match &target {
            Some((Owner::Client(_), role)) => (Severity::Fault, format!("move it to `{}`", own(last_of(*role)))),
            Some((_, role)) => (Severity::Fault, format!("move it to `{}`", role.field())),
            None if matches!(last, "master" | "root_ed25519") => (
                Severity::Warning,
                format!(
                    "a master's keys stand with it in `configuration_management.salt.masters`: `{}`",
                    if last == "master" { "pki.master" } else { last }
                ),
            ),
            None => (
                Severity::Warning,
                "a host's keys stand with it, in `masters` or `assets`: move it there, or leave it if it is another tool's"
                    .to_owned(),
            ),
        };
        let mut finding = Finding::new(
            severity,
            Code::MisplacedKey,
            place,
            format!("a key stands {written}, where nothing looks for it"),
            remedy,
        );
        if let Some((owner, role)) = target {
            finding = finding.owner(&owner);
            self.misplaced.insert((owner, role));
        } else if let Some(host) = host {
            finding = finding.owner(&host.fqdn);
        }
        self.findings.push(match path {
            [] => finding,
            path => finding.key(path.join(".")),
        });
    }
}

/// Whether people mean a key for Salt by this name and value.
fn is_misplaced(root: &View<'_>, name: &str, value: &Node) -> bool {
    (PAIRS.contains(&name) || FOLDERS.contains(&name)) && holds_private(root, value)
}

fn last_of(role: Role) -> &'static str {
    role.field().rsplit('.').next().unwrap_or_default()
}

/// A mapping with a private half, under any of its names.
fn holds_private(root: &View<'_>, node: &Node) -> bool {
    node.entries().iter().any(|entry| {
        let name = entry.key.scalar().unwrap_or_default();
        PRIVATE.contains(&name) && is_key(root, &entry.value)
    })
}

/// A text that looks like a key, or a sealed one.
fn is_key(root: &View<'_>, node: &Node) -> bool {
    let text = root.document.resolve(node).scalar().unwrap_or_default();
    text.contains("-----BEGIN ") || text.starts_with("ssh-") || is_sealed(text)
}
