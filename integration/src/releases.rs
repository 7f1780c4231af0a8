//! Which host of a lab runs which release of Salt.

use std::collections::BTreeMap;

use crate::builder::Settings;
use crate::install::Salt;
use crate::progress::Progress;

/// The installed releases of a lab.
#[derive(Debug, Clone)]
pub(crate) struct Releases {
    common: Salt,
    /// By host.
    own: BTreeMap<String, Salt>,
}

impl Releases {
    /// Installs those that are not in the cache yet.
    pub(crate) fn ensure(settings: &Settings, progress: &Progress) -> anyhow::Result<Self> {
        let common = Salt::ensure(settings.version, progress)?;
        let mut own = BTreeMap::new();
        for (host, version) in &settings.releases {
            own.insert(host.clone(), Salt::ensure(*version, progress)?);
        }
        Ok(Self { common, own })
    }

    /// The one that a host runs.
    pub(crate) fn of(&self, host: &str) -> &Salt {
        self.own.get(host).unwrap_or(&self.common)
    }
}
