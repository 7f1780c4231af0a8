//! Makes every key that clients lack and writes them into their files, in place.

mod make;
mod plan;
#[cfg(test)]
mod random;
mod report;
mod wish;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread::available_parallelism;

use zeroize::Zeroizing;

use self::plan::Plan;
pub use self::report::{Edit, EditedFile, Made, Readable, Report, Skipped, What};
use crate::error::Error;
use crate::include::Sources;
use crate::layout::Layout;
use crate::store::{Locks, Replacement, readable_by_others, replace};
use crate::yaml::{Edited, apply, verify};

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            only: Vec::new(),
            bits: 2048,
            dry_run: false,
            jobs: None,
        }
    }
}

/// Makes all keys that are missing in these clients and what they include. `progress` is called with the
/// number of keys done and to be done, from several threads but never twice at once.
///
/// Nothing is written before all keys are made and all edits are verified: parsed again, compared with
/// what was there, and compared byte by byte outside of the new keys. The files are locked meanwhile.
///
/// # Errors
/// [`Error`], with the place and the remedy. No file has changed then, unless [`Error::Write`] names it.
pub fn run(
    files: &[PathBuf],
    options: &Options,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Report, Error> {
    if options.dry_run {
        return generate(&Sources::load(files)?, options, progress);
    }
    let mut paths = Sources::load(files)?.paths();
    loop {
        let locks = Locks::take(&paths)?;
        // What was read before the lock was ours may be old.
        let sources = Sources::load(files)?;
        let now = sources.paths();
        if now == paths {
            let report = generate(&sources, options, progress);
            drop(locks);
            return report;
        }
        // Somebody changed an `include:`; the locks are given back so that they can be taken in order.
        paths = now;
    }
}

fn generate(
    sources: &Sources,
    options: &Options,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Report, Error> {
    let mut skipped = Vec::new();
    let mut plan = Plan::default();
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
    let texts = if options.dry_run {
        make::samples(&plan.jobs, options.bits)?
    } else {
        let threads = options
            .jobs
            .or(available_parallelism().ok())
            .map_or(1, NonZeroUsize::get);
        make::make(&plan.jobs, options.bits, threads, progress)?
    };
    let edited = edit(sources, &plan, &texts)?;
    if !options.dry_run {
        let files = edited.iter().filter_map(|(index, edited)| {
            let document = sources.documents.get(*index)?;
            Some(Replacement {
                path: &document.path,
                old: &document.text,
                new: &edited.text,
            })
        });
        replace(&files.collect::<Vec<_>>())?;
    }
    Ok(report(sources, &plan, &edited, skipped, options))
}

/// Every document that gets something, with its new text.
fn edit(
    sources: &Sources,
    plan: &Plan<'_>,
    texts: &[Zeroizing<String>],
) -> Result<BTreeMap<usize, Edited>, Error> {
    let mut all = BTreeMap::new();
    for document in &sources.documents {
        if let Some(changes) = plan.changes.get(&document.index) {
            let edited = apply(document, changes, texts)?;
            verify(document, &edited, changes, texts)?;
            all.insert(document.index, edited);
        }
    }
    Ok(all)
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
                edits: edited.edits.clone(),
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
        if text.contains("PRIVATE KEY-----")
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
