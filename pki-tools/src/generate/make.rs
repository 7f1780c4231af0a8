//! Making the keys, on all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use proto::crypto::PrivateKey;
use ssh_key::{Algorithm, LineEnding};
use zeroize::Zeroizing;

use crate::error::Error;

/// A key to be made.
pub(crate) enum Job {
    /// A new RSA pair.
    Rsa,
    /// The public half of an RSA key.
    RsaPublic(Box<PrivateKey>),
    /// A new OpenSSH pair with this comment.
    Ssh(String),
    /// The public half of an OpenSSH key.
    SshPublic(Box<ssh_key::PrivateKey>),
}

/// Both halves as texts; the private one is empty where only the public one was asked for.
#[derive(Clone, Default)]
pub(crate) struct Pair {
    pub(crate) private: Zeroizing<String>,
    pub(crate) public: Zeroizing<String>,
}

/// Where a job's texts are in the table that [`make`] returns.
pub(super) fn private_text(job: usize) -> usize {
    2 * job
}

/// See [`private_text`].
pub(super) fn public_text(job: usize) -> usize {
    2 * job + 1
}

/// Does all jobs with so many threads, and returns their texts.
pub(super) fn make(
    jobs: &[Job],
    bits: u32,
    threads: usize,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Vec<Zeroizing<String>>, Error> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new((0, Vec::with_capacity(jobs.len())));
    progress(0, jobs.len());
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(number) else { return };
                    let pair = one(job, bits);
                    if pair.is_err() {
                        // The others needn't go on.
                        next.store(jobs.len(), Ordering::Relaxed);
                    }
                    // Under the lock, so that the numbers come in order.
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.0 += 1;
                    done.1.push((number, pair));
                    progress(done.0, jobs.len());
                }
            });
        }
    });
    let (_, mut pairs) = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    pairs.sort_by_key(|(number, _)| *number);
    let mut texts = Vec::with_capacity(2 * jobs.len());
    for (_, pair) in pairs {
        let pair = pair?;
        texts.extend([pair.private, pair.public]);
    }
    Ok(texts)
}

/// Texts of the same shape as [`make`] returns, for a look at where they would go: one pair of each kind.
pub(super) fn samples(jobs: &[Job], bits: u32) -> Result<Vec<Zeroizing<String>>, Error> {
    let (mut rsa, mut ssh) = (None, None);
    let mut texts = Vec::with_capacity(2 * jobs.len());
    for job in jobs {
        let sample = match job {
            Job::Rsa => &mut rsa,
            Job::Ssh(_) => &mut ssh,
            Job::RsaPublic(_) | Job::SshPublic(_) => &mut None,
        };
        let pair = match sample {
            Some(pair) => pair,
            None => sample.insert(one(job, bits)?),
        };
        texts.extend([pair.private.clone(), pair.public.clone()]);
    }
    Ok(texts)
}

/// Does one job.
pub(crate) fn one(job: &Job, bits: u32) -> Result<Pair, Error> {
    match job {
        Job::Rsa => {
            let key = PrivateKey::generate(bits, &mut rand::rng()).map_err(Error::MakeRsa)?;
            let private = key.to_pkcs1_pem().map_err(Error::MakeRsa)?;
            Ok(Pair {
                private,
                ..rsa_public(&key)?
            })
        }
        Job::RsaPublic(key) => rsa_public(key),
        Job::Ssh(comment) => {
            let mut key =
                ssh_key::PrivateKey::random(&mut rand::rng(), Algorithm::Ed25519).map_err(Error::MakeSsh)?;
            key.set_comment(comment.as_str());
            let private = key.to_openssh(LineEnding::LF).map_err(Error::MakeSsh)?;
            Ok(Pair {
                private,
                ..ssh_public(&key)?
            })
        }
        Job::SshPublic(key) => ssh_public(key),
    }
}

fn rsa_public(key: &PrivateKey) -> Result<Pair, Error> {
    let public = key.public_key().to_pem().map_err(Error::MakeRsa)?;
    Ok(Pair {
        public: Zeroizing::new(public),
        ..Pair::default()
    })
}

fn ssh_public(key: &ssh_key::PrivateKey) -> Result<Pair, Error> {
    let public = key.public_key().to_openssh().map_err(Error::MakeSsh)?;
    Ok(Pair {
        public: Zeroizing::new(public),
        ..Pair::default()
    })
}
