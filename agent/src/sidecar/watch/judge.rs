//! What arrives on the publish port: genuine, forged, or from behind a rotated key.

use std::sync::Arc;
use std::time::Duration;

use proto::message::{Mark, Value};
use proto::publication::{Publication, PublicationError, Publications, Signatures};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::bucket::Bucket;
use super::copies::Copies;
use super::teller::Teller;
use super::{Genuine, Shared};
use crate::sidecar::facts::{Errand, Evidence};
use crate::state::{State, Verdict};

/// Publications that wait for new keys, at most.
const HELD: usize = 8;
/// Bytes in them, at most.
const HELD_BYTES: usize = 1 << 20;
/// After a sign-in that was asked for here, none is asked for during this time; twice as long after each that did not
/// help. Whoever repeats what a master sent before its keys changed gets no more of them.
const NEXT_SIGN_IN: Duration = Duration::from_secs(10);
/// The longest such time.
const LONGEST: Duration = Duration::from_secs(600);

/// Judges publications with the keys of the last sign-in. Outlives connections, as its memory of serials must.
pub(super) struct Judge {
    shared: Arc<Shared>,
    /// None before the first sign-in.
    publications: Option<Publications>,
    /// Signed by the master, and not to be opened with the keys at hand.
    held: Vec<Vec<Vec<u8>>>,
    /// When a sign-in may be asked for again.
    sign_in_from: Instant,
    spacing: Duration,
    bucket: Bucket,
    copies: Copies,
    /// Where the genuine ones go to.
    outlet: Option<mpsc::Sender<Genuine>>,
}

impl Judge {
    pub(super) fn new(shared: Arc<Shared>, outlet: Option<mpsc::Sender<Genuine>>) -> Self {
        let now = Instant::now();
        Self {
            shared,
            publications: None,
            held: Vec::new(),
            sign_in_from: now,
            spacing: NEXT_SIGN_IN,
            bucket: Bucket::new(now),
            copies: Copies::default(),
            outlet,
        }
    }

    /// Whether somebody gets the genuine ones.
    pub(super) fn hands_out(&self) -> bool {
        self.outlet.is_some()
    }

    /// Whether there are keys to judge with.
    pub(super) fn has_keys(&self) -> bool {
        self.publications.is_some()
    }

    /// Takes over new keys, and tries with them what waited for them.
    pub(super) fn renew(&mut self, teller: &mut Teller) -> Result<(), Verdict> {
        let Some(session) = self.shared.session.borrow().clone() else {
            return Ok(());
        };
        match &mut self.publications {
            Some(publications) => session.renew(publications),
            none => *none = Some(session.publications(Signatures::Required)),
        }
        for frames in std::mem::take(&mut self.held) {
            match self.open(&frames) {
                Some(Ok(publication)) => {
                    (self.sign_in_from, self.spacing) = (Instant::now(), NEXT_SIGN_IN);
                    teller.tell(Evidence::Publication);
                    self.is_genuine(frames, &publication);
                }
                Some(Err(error)) => self.forged(&error, teller)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Judges one publication. What comes before the first sign-in is neither genuine nor forged to us.
    ///
    /// # Errors
    /// There were too many forged ones: the connection is of no use.
    pub(super) fn hear(&mut self, frames: Vec<Vec<u8>>, teller: &mut Teller) -> Result<(), Verdict> {
        if let Some(copy) = self.copies.another(&frames) {
            teller.tell(Evidence::Publication);
            self.hand_out(copy);
            return Ok(());
        }
        match self.open(&frames) {
            None => Ok(()),
            Some(Ok(publication)) => {
                teller.tell(Evidence::Publication);
                self.is_genuine(frames, &publication);
                Ok(())
            }
            // The signature was good.
            Some(Err(PublicationError::Unopened)) if self.hold(frames) => Ok(()),
            Some(Err(error)) => self.forged(&error, teller),
        }
    }

    /// Forgets what waits: its connection has ended.
    pub(super) fn forget(&mut self) {
        self.held.clear();
    }

    fn open(&mut self, frames: &[Vec<u8>]) -> Option<Result<Publication, PublicationError>> {
        let publications = self.publications.as_mut()?;
        Some(publications.open(frames))
    }

    fn is_genuine(&mut self, frames: Vec<Vec<u8>>, publication: &Publication) {
        if self.outlet.is_none() {
            return;
        }
        let function = publication.load.get("fun").and_then(Value::as_bytes);
        let targets = publication.load.get("tgt");
        let errand = match function {
            Some(b"test.ping") => Errand::Lookup(targets.and_then(Mark::announced_by)),
            _ => Errand::Job(targets.and_then(Mark::of)),
        };
        let genuine = Genuine {
            frames: Arc::new(frames),
            errand,
        };
        self.copies.note(&genuine);
        self.hand_out(genuine);
    }

    fn hand_out(&self, genuine: Genuine) {
        let Some(outlet) = &self.outlet else { return };
        if outlet.try_send(genuine).is_err() {
            tracing::warn!("a publication was lost: too many wait to be handed out");
        }
    }

    /// Keeps it until there are new keys, if some may be asked for or are on their way.
    fn hold(&mut self, frames: Vec<Vec<u8>>) -> bool {
        let now = Instant::now();
        if now >= self.sign_in_from {
            self.sign_in_from = now + self.spacing;
            self.spacing = self.spacing.saturating_mul(2).min(LONGEST);
            self.held.clear();
            self.shared.sign_in.notify_one();
        } else if self.held.is_empty() {
            return false;
        }
        let bytes: usize = self.held.iter().flatten().chain(&frames).map(Vec::len).sum();
        if self.held.len() < HELD && (self.held.is_empty() || bytes <= HELD_BYTES) {
            self.held.push(frames);
        }
        true
    }

    fn forged(&mut self, error: &PublicationError, teller: &mut Teller) -> Result<(), Verdict> {
        if self.bucket.take(Instant::now()) {
            teller.tell(Evidence::Forged(reason(error)));
            return Ok(());
        }
        Err(Verdict::because(
            State::Impostor,
            false,
            format!("too many publications on the publish port that are not genuine, at last: {error}"),
        ))
    }
}

/// A word for metrics.
fn reason(error: &PublicationError) -> &'static str {
    match error {
        PublicationError::Malformed => "malformed",
        PublicationError::Unsigned => "unsigned",
        PublicationError::Algorithm => "algorithm",
        PublicationError::Signature => "signature",
        PublicationError::Unopened => "unopened",
        PublicationError::Replay { .. } => "replay",
        PublicationError::Unreadable => "unreadable",
    }
}
