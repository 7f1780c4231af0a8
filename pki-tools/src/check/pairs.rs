//! The pairs themselves: each half as its reader sees it, and whether the two belong together.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use zeroize::Zeroizing;

use super::finding::{Code, Finding, Severity};
use super::half::{Fault, Judged};
use super::{rsa, ssh};
use crate::error::Place;
use crate::keys::{Key, Private, Role};
use crate::parallel;
use crate::seal::Owner;

/// A pair that is checked.
pub(super) struct Subject {
    pub(super) owner: Owner,
    pub(super) role: Role,
    active: bool,
    /// Where it stands; with an alias, where that stands.
    pub(super) place: Place,
    /// Whether its mapping stands elsewhere, too.
    shared: bool,
    /// The file and offset of its mapping: what two clients include has one.
    node: (usize, usize),
    pub(super) private: Option<(Half, Place)>,
    public: Option<(String, Place)>,
}

/// A private half as far as it is known.
pub(super) enum Half {
    Open(Zeroizing<String>),
    /// Sealed, and not yet opened.
    Sealed(Private),
    /// Sealed, and it stays so.
    Closed,
}

/// A pair that was looked at.
pub(super) struct Pair<'s> {
    pub(super) subject: &'s Subject,
    pub(super) private: Judged,
    pub(super) public: Judged,
}

impl Subject {
    fn of(key: &Key<'_>) -> Self {
        let document = key.pair.document;
        let at = |found: &crate::yaml::Found<'_>| document.place(found.entry.key.start);
        let private = key.private.as_ref().zip(key.private()).map(|(found, private)| {
            let half = match private.is_sealed() {
                true => Half::Sealed(private),
                false => Half::Open(Zeroizing::new(private.text().to_owned())),
            };
            (half, at(found))
        });
        let public = key.public.as_ref().zip(key.public());
        Self {
            owner: key.owner.clone(),
            role: key.role,
            active: key.active,
            shared: key.pair.shared.is_some(),
            place: key.pair.shared.clone().unwrap_or_else(|| key.pair.place()),
            node: (document.index, key.pair.node.start.offset),
            private,
            public: public.map(|(found, text)| (text.to_owned(), at(found))),
        }
    }

    /// Whether two clients that include one file have this in common.
    fn is_same(&self, other: &Self) -> bool {
        let clients = |a: &Owner, b: &Owner| matches!((a, b), (Owner::Client(_), Owner::Client(_)));
        (self.node, self.role) == (other.node, other.role)
            && (self.owner == other.owner || clients(&self.owner, &other.owner))
    }

    /// Where the private half stands, else the public one; if they are shared, what shares them.
    pub(super) fn first_place(&self) -> &Place {
        let private = self.private.as_ref().map(|(_, place)| place);
        let half = private.or(self.public_place()).filter(|_| !self.shared);
        half.unwrap_or(&self.place)
    }

    pub(super) fn public_place(&self) -> Option<&Place> {
        self.public.as_ref().map(|(_, place)| place)
    }

    pub(super) fn finding(
        &self,
        severity: Severity,
        code: Code,
        place: &Place,
        half: &str,
        message: &str,
        remedy: &str,
    ) -> Finding {
        // Nothing uses the key of an inactive owner.
        let severity = if self.active {
            severity
        } else {
            severity.max(Severity::Warning)
        };
        let key = match half {
            "" => self.role.field().to_owned(),
            half => format!("{}.{half}", self.role.field()),
        };
        let message = format!("`{key}` {message}");
        Finding::new(severity, code, place.clone(), message, remedy)
            .owner(&self.owner)
            .key(key)
    }
}

/// Adds a client's pairs, but for those that another client has from the same file.
pub(super) fn collect(keys: Vec<Key<'_>>, subjects: &mut Vec<Subject>) {
    let mut seen: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (number, subject) in subjects.iter().enumerate() {
        seen.entry(subject.node).or_default().push(number);
    }
    for key in keys {
        let subject = Subject::of(&key);
        let same = seen.get(&subject.node).into_iter().flatten();
        let mut same = same.filter_map(|number| subjects.get(*number));
        if !same.any(|other| other.is_same(&subject)) {
            subjects.push(subject);
        }
    }
}

/// Looks at all halves, on all cores.
pub(super) fn judge<'s>(
    subjects: &'s [Subject],
    jobs: Option<NonZeroUsize>,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<Pair<'s>> {
    let judged = parallel::each(subjects, jobs, progress, |subject| {
        let ssh = subject.role == Role::RootEd25519;
        let private = match &subject.private {
            Some((Half::Open(text), _)) if ssh => ssh::private(text),
            Some((Half::Open(text), _)) => rsa::private(text, subject.role),
            Some((Half::Sealed(_) | Half::Closed, _)) | None => Judged::default(),
        };
        let public = match &subject.public {
            Some((text, _)) if ssh => ssh::public(text),
            Some((text, _)) => rsa::public(text, subject.role),
            None => Judged::default(),
        };
        (private, public)
    });
    let pairs = subjects.iter().zip(judged);
    pairs
        .map(|(subject, (private, public))| Pair {
            subject,
            private,
            public,
        })
        .collect()
}

/// What is to be said of each half for itself.
pub(super) fn findings(pairs: &[Pair<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Pair {
        subject,
        private,
        public,
    } in pairs
    {
        let mut tell = |faults: &[&Fault], place: Option<&Place>, half: &str| {
            for fault in faults {
                let place = place.unwrap_or(&subject.place);
                let message = &fault.message;
                findings.push(subject.finding(
                    fault.severity,
                    fault.code,
                    place,
                    half,
                    message,
                    fault.remedy,
                ));
            }
        };
        let place = subject.private.as_ref().map(|(_, place)| place);
        let faults: Vec<&Fault> = private.faults.iter().collect();
        tell(&faults, place, subject.role.private());
        // What is so of the key as a whole is said once.
        let of_the_key = |fault: &Fault| {
            matches!(fault.code, Code::BadSize | Code::UnusualSize | Code::BadType)
                && private
                    .faults
                    .iter()
                    .any(|of| (of.code, &of.message) == (fault.code, &fault.message))
        };
        let faults = public.faults.iter().filter(|fault| !of_the_key(fault));
        tell(&faults.collect::<Vec<_>>(), subject.public_place(), "pub");
    }
    findings
}
