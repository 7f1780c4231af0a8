//! All keys of all files compared: halves of different keys, and keys with two owners.

use std::collections::HashMap;

use super::finding::{Code, Finding, Severity};
use super::pairs::Pair;

pub(super) fn findings(pairs: &[Pair<'_>]) -> Vec<Finding> {
    // Whose a key is: who has its private half, else who has its public one.
    let mut owners: HashMap<&str, &Pair<'_>> = HashMap::new();
    for pair in pairs.iter().rev() {
        owners.extend(pair.public.identity.as_deref().map(|identity| (identity, pair)));
    }
    for pair in pairs.iter().rev() {
        owners.extend(pair.private.identity.as_deref().map(|identity| (identity, pair)));
    }
    let mut findings = Vec::new();
    let mut first: HashMap<&str, &Pair<'_>> = HashMap::new();
    for pair in pairs {
        if let (Some(private), Some(public)) = (&pair.private.identity, &pair.public.identity)
            && private != public
        {
            findings.push(differ(pair, owners.get(public.as_str()).copied()));
        }
        let identity = pair.private.identity.as_ref().or(pair.public.identity.as_ref());
        let Some(identity) = identity else { continue };
        match first.get(identity.as_str()) {
            Some(other) => findings.push(twice(pair, other)),
            None => {
                first.insert(identity, pair);
            }
        }
    }
    findings
}

fn differ(pair: &Pair<'_>, owner: Option<&Pair<'_>>) -> Finding {
    let subject = pair.subject;
    let private = subject.role.private();
    let mut message = format!("is not the public half of `{private}`");
    if let Some(owner) = owner.filter(|owner| !std::ptr::eq(*owner, pair)) {
        message.push_str(&format!(", but that of {}", name(owner)));
    }
    subject.finding(
        Severity::Fault,
        Code::HalvesDiffer,
        subject.public_place().unwrap_or(&subject.place),
        "pub",
        &message,
        "if the private half is the right one, remove `pub` and run `pki-tools gen`, which makes it anew",
    )
}

fn twice(pair: &Pair<'_>, first: &Pair<'_>) -> Finding {
    let subject = pair.subject;
    let finding = subject.finding(
        Severity::Fault,
        Code::KeyUsedTwice,
        subject.first_place(),
        "",
        &format!("is the same key as {}", name(first)),
        "make a new pair for one of them with `pki-tools rotate`, and install it",
    );
    // Also if its owner is inactive: somebody may have it still.
    Finding {
        severity: Severity::Fault,
        ..finding
    }
}

fn name(pair: &Pair<'_>) -> String {
    let subject = pair.subject;
    let place = subject.first_place();
    let (field, owner) = (subject.role.field(), &subject.owner);
    format!("`{field}` of {owner} at {}:{}", place.file.display(), place.line)
}
