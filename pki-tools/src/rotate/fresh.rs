//! The texts of a pair, made ready for the file: new ones, moved ones, sealed where the old one was.

use proto::crypto::{PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::generate::{Job, one};
use crate::keys::{Key, Role};
use crate::seal::{Owner, Sealing};

/// No new RSA key is smaller; Salt's own default.
const LEAST_BITS: u32 = 2048;

/// Both halves as they go into the file.
pub(super) struct Halves {
    /// A sealed one is a single word.
    pub(super) private: Zeroizing<String>,
    pub(super) public: Zeroizing<String>,
}

/// Makes texts ready for the file that they go into.
pub(super) struct Desk<'a> {
    pub(super) sealing: &'a Sealing<'a>,
    /// Nothing is opened or sealed.
    pub(super) dry_run: bool,
}

impl Desk<'_> {
    /// A new pair in place of this one.
    ///
    /// # Errors
    /// The file is sealed and what there is does not open it; or no key can be made.
    pub(super) fn fresh(&self, key: &Key<'_>, bits: u32) -> Result<Halves, Error> {
        if !self.dry_run {
            self.sealing.prove(key.pair.document.index)?;
        }
        let job = match key.role {
            Role::RootEd25519 => Job::Ssh(comment(key)),
            _ => Job::Rsa,
        };
        let pair = one(&job, bits)?;
        Ok(Halves {
            private: self.ready(key, key.role, pair.private)?,
            public: pair.public,
        })
    }

    /// This pair's halves for another role of the same owner: what is sealed is bound to its role, and sealed
    /// anew.
    ///
    /// # Errors
    /// A half is missing, or a sealed one cannot be opened.
    pub(super) fn moved(&self, key: &Key<'_>, role: Role) -> Result<Halves, Error> {
        let (Some(private), Some(public)) = (key.private(), key.public()) else {
            return Err(Error::Missing {
                place: key.pair.place(),
                key: if key.public.is_none() {
                    "pub"
                } else {
                    role.private()
                },
                expected: "the half that belongs to the other one; `pki-tools gen` makes `pub` from `pem`",
            });
        };
        let text = match private.is_sealed() && self.dry_run {
            true => Sealing::sample(),
            false => plain(&self.sealing.open(&private)?),
        };
        Ok(Halves {
            private: self.ready(key, role, text)?,
            public: plain(public),
        })
    }

    fn ready(&self, key: &Key<'_>, role: Role, text: Zeroizing<String>) -> Result<Zeroizing<String>, Error> {
        let document = key.pair.document.index;
        if self.dry_run && self.sealing.covers(document) {
            return Ok(Sealing::sample());
        }
        self.sealing
            .ready(document, text, &key.owner, role, &key.pair.place())
    }
}

/// The size of a new RSA key: as asked for, else that of the old one.
pub(super) fn bits(key: &Key<'_>, wanted: Option<u32>) -> Option<u32> {
    if key.role == Role::RootEd25519 {
        return None;
    }
    let old = || {
        if let Some(public) = key.public().and_then(|pem| PublicKey::from_pem(pem).ok()) {
            return Some(public.bits());
        }
        let private = key.private().filter(|private| !private.is_sealed())?;
        let private = PrivateKey::from_pem(private.text()).ok()?;
        Some(private.public_key().bits())
    };
    Some(wanted.unwrap_or_else(|| old().unwrap_or_default().max(LEAST_BITS)))
}

/// The comment of the old public half, else what `gen` writes.
fn comment(key: &Key<'_>) -> String {
    let old = key.public().and_then(|text| text.trim().splitn(3, ' ').nth(2));
    match (old, &key.owner) {
        (Some(comment), _) => comment.to_owned(),
        (None, Owner::Host(fqdn)) => format!("root@{fqdn}"),
        (None, Owner::Client(name)) => name.clone(),
    }
}

/// A PEM as new ones are: LF, nothing around it.
fn plain(text: &str) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(text.len()));
    for (number, line) in text.trim().lines().enumerate() {
        if number > 0 {
            out.push('\n');
        }
        out.push_str(line);
    }
    out
}
