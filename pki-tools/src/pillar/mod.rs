//! Pillar files with the keys of each host, for Salt states that install them.

mod report;
mod sls;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use self::sls::Sls;
use crate::client::{Client, Master, Minion};
use crate::error::Error;
use crate::export::{Author, Change, Export, Mark, write};
use crate::keys::Role;
use crate::permissions::Permissions;
use crate::seal::Keyring;
pub use report::{Missing, Report, SlsFile, Stale, StaleFile};

/// How to write pillar files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Finds out what would be done, and does nothing.
    pub dry_run: bool,
    /// Removes our files of hosts that have left the client.
    pub prune: bool,
    /// Overwrites files that somebody else wrote.
    pub replace: bool,
    /// Whether everybody may read the client's files.
    pub permissions: Permissions,
}

/// Writes `OUT/pillar/salt/{master,minion}_FQDN.sls` for each active host of a client, with the dots of FQDN
/// as `_`: Salt takes a dot in the name of an sls for a folder. A file that is right already is left alone.
///
/// Sealed keys are opened. Active servers without a pair get no file; the report names them.
///
/// # Errors
/// [`Error`]: nothing was written, unless [`Error::Write`] names it.
pub fn run(file: &Path, out: &Path, options: &Options, keyring: &Keyring) -> Result<Report, Error> {
    let client = Client::load_for_use(file, options.permissions)?;
    let folder = out.join("pillar").join("salt");
    let mark = Mark::new("pillar", &client);
    let sls = Sls::of(&client, keyring, &mark)?;
    let hosts = hosts(&client);
    let names = names(&hosts, &folder)?;

    let mut report = Report {
        dry_run: options.dry_run,
        files: Vec::new(),
        stale: stale(&folder, &names, &mark, options)?,
        missing: missing(&client),
    };
    let (mut changed, mut foreign) = (Vec::new(), Vec::new());
    for (name, host) in &names {
        let Some(text) = host.text(&sls)? else { continue };
        let export = Export {
            path: folder.join(name),
            text,
        };
        let (change, author) = export.compare(&client, &mark)?;
        if change != Change::Unchanged && author != Author::Us && !options.replace {
            foreign.push(export.path.clone());
        }
        report.files.push(SlsFile {
            file: export.path.clone(),
            host: host.fqdn().to_owned(),
            change,
        });
        if change != Change::Unchanged {
            changed.push(export);
        }
    }
    if !foreign.is_empty() {
        return Err(Error::NotOurs(foreign));
    }
    if !options.dry_run {
        put(&folder, &changed, &report.stale)?;
    }
    Ok(report)
}

/// A file that there may be.
enum Host<'a> {
    Master(&'a Master),
    MastersMinion(&'a Master),
    Minion(&'a Minion),
}

impl Host<'_> {
    fn fqdn(&self) -> &str {
        match self {
            Self::Master(master) | Self::MastersMinion(master) => &master.fqdn,
            Self::Minion(minion) => &minion.fqdn,
        }
    }

    fn name(&self) -> String {
        let role = match self {
            Self::Master(_) => "master",
            Self::MastersMinion(_) | Self::Minion(_) => "minion",
        };
        format!("{role}_{}.sls", self.fqdn().replace('.', "_"))
    }

    /// Nothing without a key.
    fn text(&self, sls: &Sls<'_>) -> Result<Option<Zeroizing<String>>, Error> {
        match self {
            Self::Master(master) => sls.master(master).map(Some),
            Self::MastersMinion(master) => sls.masters_minion(master).map(Some),
            Self::Minion(minion) => minion.minion.as_ref().map(|pair| sls.minion(pair)).transpose(),
        }
    }
}

fn hosts(client: &Client) -> Vec<Host<'_>> {
    let masters = client
        .active_masters()
        .flat_map(|master| [Host::Master(master), Host::MastersMinion(master)]);
    let minions = client.minions.iter().filter(|minion| minion.active);
    masters.chain(minions.map(Host::Minion)).collect()
}

/// The names of the files of all hosts, of those without a key, too.
fn names<'a>(hosts: &'a [Host<'a>], folder: &Path) -> Result<BTreeMap<String, &'a Host<'a>>, Error> {
    let mut names = BTreeMap::new();
    for host in hosts {
        if let Some(first) = names.insert(host.name(), host) {
            return Err(Error::SameFile {
                file: folder.join(host.name()),
                first: first.fqdn().to_owned(),
                second: host.fqdn().to_owned(),
            });
        }
    }
    Ok(names)
}

/// What is missing without being an error. A client without masters, of type salt-ssh, say, needs no keys.
fn missing(client: &Client) -> Vec<Missing> {
    if client.active_masters().next().is_none() {
        return Vec::new();
    }
    let dispatch = client.pipeline.is_none().then(|| Missing {
        owner: client.owner().to_string(),
        key: Role::Pipeline.field(),
    });
    let minions = client
        .minions
        .iter()
        .filter(|minion| minion.active && minion.minion.is_none());
    let minions = minions.map(|minion| Missing {
        owner: minion.fqdn.clone(),
        key: Role::Minion.field(),
    });
    dispatch.into_iter().chain(minions).collect()
}

/// Files in the folder that are called like a host's, but like none of these. Another client's are its own.
fn stale(
    folder: &Path,
    names: &BTreeMap<String, &Host<'_>>,
    mark: &Mark,
    options: &Options,
) -> Result<Vec<StaleFile>, Error> {
    let unreadable = |source| Error::read(folder, source);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(error)),
    };
    let mut stale = Vec::new();
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let a_hosts = (name.starts_with("master_") || name.starts_with("minion_")) && name.ends_with(".sls");
        if !a_hosts || names.contains_key(&name) || !entry.file_type().map_err(unreadable)?.is_file() {
            continue;
        }
        let file = entry.path();
        let state = match mark.author(&file).map_err(|source| Error::read(&file, source))? {
            Author::UsForAnotherClient => continue,
            Author::Somebody => Stale::Foreign,
            Author::Us if options.prune => Stale::Removed,
            Author::Us => Stale::Left,
        };
        stale.push(StaleFile { file, state });
    }
    stale.sort_by(|one, other| one.file.cmp(&other.file));
    Ok(stale)
}

fn put(folder: &Path, changed: &[Export], stale: &[StaleFile]) -> Result<(), Error> {
    let failed = |file: &Path, source, written: &[Export]| Error::Write {
        file: file.to_owned(),
        source,
        written: written
            .iter()
            .map(|export| export.path.clone())
            .collect::<Vec<PathBuf>>(),
    };
    if !changed.is_empty() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| failed(folder, source, &[]))?;
        write(changed)?;
    }
    for stale in stale.iter().filter(|stale| stale.state == Stale::Removed) {
        fs::remove_file(&stale.file).map_err(|source| failed(&stale.file, source, changed))?;
    }
    Ok(())
}
