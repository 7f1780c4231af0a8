//! Makes every key that clients lack and writes them into their files, in place.

mod make;
mod plan;
#[cfg(test)]
mod properties;
mod report;
mod spot;
mod wish;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;

pub(crate) use self::make::{Job, one};
use self::plan::Plan;
pub use self::report::{Edit, EditedFile, Made, Readable, Report, Skipped, What};
use crate::edit::{locked, write};
use crate::error::Error;
use crate::include::Sources;
use crate::layout::Layout;
use crate::permissions::{Permissions, holds_private_keys, readable_by_others};
use crate::seal::{Keyring, Sealing};
use crate::yaml::Edited;

/// How to make keys.
#[derive(Debug, Clone)]
pub struct Options {
    /// Restricts it to these: fqdns, `master_sign`, `pipeline` or its id. Empty for everything.
    pub only: Vec<String>,
    /// Size of RSA keys.
    pub bits: u32,
    /// Finds out what would be made, and writes nothing.
    pub dry_run: bool,
    /// Threads; all cores if not given.
    pub jobs: Option<NonZeroUsize>,
    /// Whether everybody may read the files.
    pub permissions: Permissions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            bits: 2048,
            dry_run: false,
            jobs: None,
            permissions: Permissions::Checked,
        }
    }
}

/// Makes all keys that are missing in these clients and what they include. `progress` is called with the
/// number of keys done and to be done, from several threads but never twice at once.
///
/// Nothing is written before all keys are made and all edits are verified: parsed again, compared with
/// what was there, and compared byte by byte outside of the new keys. The files are locked meanwhile.
///
/// New private halves in a sealed file are sealed, too; `keyring` must open what is there before any key is made.
/// A dry run needs it only to make a public half of a sealed private one.
///
/// # Errors
/// [`Error`], with the place and the remedy. No file has changed then, unless [`Error::Write`] names it.
pub fn run(
    files: &[PathBuf],
    options: &Options,
    keyring: &Keyring,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Report, Error> {
    if options.dry_run {
        return generate(&Sources::load(files)?, options, keyring, progress);
    }
    locked(files, |sources| generate(sources, options, keyring, progress))
}

fn generate(
    sources: &Sources,
    options: &Options,
    keyring: &Keyring,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Report, Error> {
    options.permissions.check(sources)?;
    let mut skipped = Vec::new();
    let sealing = Sealing::of(sources, keyring)?;
    let mut plan = Plan::new(&sealing);
    for documents in sources.clients() {
        let layout = Layout::of(&documents)?;
        let reason = match layout.kind {
            Some("salt") => {
                plan.client(&documents, &layout, &options.only)?;
                continue;
            }
            Some(_) => "its type is salt-ssh, which has no keys here",
            None => "it has no configuration_management",
        };
        let file = documents
            .first()
            .map(|document| document.name.clone())
            .unwrap_or_default();
        skipped.push(Skipped { file, reason });
    }
    if let Some(unknown) = options.only.iter().find(|id| !plan.known.contains(*id)) {
        return Err(Error::UnknownId(unknown.clone()));
    }
    for document in sources.documents.iter().filter(|d| plan.changes.touch(d.index)) {
        // The new keys would be there for everybody to read.
        let permissions = options.permissions;
        let open = !sealing.covers(document.index);
        permissions.check_file(&document.path, &document.name, open)?;
        if !options.dry_run && plan.seals.iter().any(|seal| seal.document == document.index) {
            sealing.prove(document.index)?;
        }
    }
    let mut texts = if options.dry_run {
        make::samples(&plan.jobs, options.bits)?
    } else {
        let threads = options
            .jobs
            .or(available_parallelism().ok())
            .map_or(1, NonZeroUsize::get);
        make::make(&plan.jobs, options.bits, threads, progress)?
    };
    for seal in &plan.seals {
        let Some(text) = texts.get_mut(make::private_text(seal.job)) else {
            continue;
        };
        *text = match options.dry_run {
            true => Sealing::sample(),
            false => {
                let made = std::mem::take(text);
                sealing.ready(seal.document, made, &seal.owner, seal.role, &seal.place)?
            }
        };
    }
    let edited = plan.changes.apply(sources, &texts)?;
    if !options.dry_run {
        write(sources, &edited)?;
    }
    Ok(report(sources, &plan, &edited, skipped, options))
}

fn report(
    sources: &Sources,
    plan: &Plan<'_>,
    edited: &BTreeMap<usize, Edited>,
    skipped: Vec<Skipped>,
    options: &Options,
) -> Report {
    let mut report = Report {
        dry_run: options.dry_run,
        made: Vec::new(),
        edited: Vec::new(),
        skipped,
        readable_by_others: Vec::new(),
    };
    for document in &sources.documents {
        let file = || document.name.clone();
        let edited = edited.get(&document.index);
        if let Some(edited) = edited {
            report.edited.push(EditedFile {
                file: file(),
                edits: edited.edits.iter().map(report::Edit::from).collect(),
            });
            for (item, line) in &edited.lines {
                let Some(item) = plan
                    .items
                    .get(*item)
                    .filter(|item| item.document == document.index)
                else {
                    continue;
                };
                report.made.push(Made {
                    file: file(),
                    line: *line,
                    owner: item.owner.clone(),
                    key: item.key.clone(),
                    what: item.what,
                    bits: (item.what == What::RsaPair).then_some(options.bits),
                });
            }
        }
        let text = edited.map_or(&document.text, |edited| &edited.text);
        if holds_private_keys(text)
            && let Some(mode) = readable_by_others(&document.path)
        {
            report.readable_by_others.push(Readable {
                file: file(),
                mode: format!("{mode:04o}"),
            });
        }
    }
    report
}
