//! Which files make up a minion's configuration, in the order in which Salt lays them over one another.
//!
//! As `salt.config.minion_config` does: the main file, what its `default_include` stands for, then what its `include` stands for. An
//! included file goes before what it includes itself.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::super::ConfigError;
use super::super::error::Place;
use super::super::key_file::TextFile;
use super::super::saltfo_yaml::parse;

/// What stands for `default_include` where it is not set.
const DEFAULT_INCLUDE: &str = "minion.d/*.conf";
/// Files that include one another would never end.
const MOST: usize = 500;

/// One of the files.
pub(crate) struct ConfigFile {
    pub(crate) path: PathBuf,
    pub(crate) layer: Layer,
    text: TextFile,
}

/// Each goes before the one above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    /// The file that is named.
    Main,
    /// Of `default_include`, where lists are joined.
    Default,
    /// Of `include`.
    Include,
}

/// The files, the one that wins last.
pub(crate) fn read(main: &Path) -> Result<Vec<ConfigFile>, ConfigError> {
    let mut files = Vec::new();
    let includes = take(main, Layer::Main, &mut files)?;
    let default = includes.default_include;
    include(
        main,
        &patterns(default, DEFAULT_INCLUDE),
        Layer::Default,
        &mut files,
    )?;
    include(main, &patterns(includes.include, ""), Layer::Include, &mut files)?;
    Ok(files)
}

/// The folder whose files are included by default, if one of this name would be.
pub(crate) fn default_folder(main: &Path, name: &str) -> Result<Option<PathBuf>, ConfigError> {
    let includes = take(main, Layer::Main, &mut Vec::new())?;
    Ok(patterns(includes.default_include, DEFAULT_INCLUDE)
        .iter()
        .map(|pattern| Glob::new(main, pattern))
        .find(|glob| glob.matches(name))
        .map(|glob| glob.folder))
}

impl ConfigFile {
    /// Its options.
    pub(crate) fn parse<T: serde::de::DeserializeOwned + Default>(&self) -> Result<T, ConfigError> {
        // An empty file is a null document.
        if self.text.text.trim().is_empty() {
            return Ok(T::default());
        }
        let parsed: Option<T> = parse(&self.path, &self.text.text)?;
        Ok(parsed.unwrap_or_default())
    }
}

#[derive(Deserialize, Default)]
struct Includes {
    default_include: Option<Patterns>,
    include: Option<Patterns>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Patterns {
    One(String),
    Several(Vec<String>),
}

fn patterns(given: Option<Patterns>, default: &str) -> Vec<String> {
    let mut patterns = match given {
        None => vec![default.to_owned()],
        Some(Patterns::One(pattern)) => vec![pattern],
        Some(Patterns::Several(patterns)) => patterns,
    };
    patterns.retain(|pattern| !pattern.is_empty());
    patterns
}

/// Reads a file; gives what it includes.
fn take(path: &Path, layer: Layer, files: &mut Vec<ConfigFile>) -> Result<Includes, ConfigError> {
    if files.len() >= MOST {
        return Err(ConfigError::Yaml {
            place: Place {
                file: path.to_owned(),
                line: 1,
                column: 1,
            },
            message: format!("more than {MOST} files of configuration: do they include one another?"),
        });
    }
    let file = ConfigFile {
        path: path.to_owned(),
        layer,
        text: TextFile::read(path, "minion configuration")?,
    };
    let includes = file.parse()?;
    files.push(file);
    Ok(includes)
}

fn include(
    from: &Path,
    patterns: &[String],
    layer: Layer,
    files: &mut Vec<ConfigFile>,
) -> Result<(), ConfigError> {
    for pattern in patterns {
        for path in Glob::new(from, pattern).files()? {
            let more = take(&path, layer, files)?.include;
            if more.is_some() {
                include(&path, &self::patterns(more, ""), layer, files)?;
            }
        }
    }
    Ok(())
}

/// A pattern of Salt's; only its last part is one for us.
struct Glob {
    folder: PathBuf,
    prefix: String,
    /// Nothing if the name is no pattern.
    suffix: Option<String>,
}

impl Glob {
    fn new(from: &Path, pattern: &str) -> Self {
        let pattern = from.parent().unwrap_or(Path::new("")).join(pattern);
        let name = pattern
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let (prefix, suffix) = match name.split_once('*') {
            Some((prefix, suffix)) => (prefix, Some(suffix.to_owned())),
            None => (name, None),
        };
        Self {
            folder: pattern.parent().unwrap_or(Path::new("")).to_owned(),
            prefix: prefix.to_owned(),
            suffix,
        }
    }

    fn matches(&self, name: &str) -> bool {
        // Salt leaves its own schedule file out of what it reads here; a star does not stand for a hidden file's dot.
        let is_hidden = name.starts_with('.') && !self.prefix.starts_with('.');
        let fits = match (name.strip_prefix(self.prefix.as_str()), &self.suffix) {
            (Some(rest), Some(suffix)) => rest.ends_with(suffix.as_str()),
            (Some(rest), None) => rest.is_empty(),
            (None, _) => false,
        };
        fits && !is_hidden && name != "_schedule.conf"
    }

    /// Sorted by name, as Salt does. A missing folder has none.
    fn files(&self) -> Result<Vec<PathBuf>, ConfigError> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else {
            return Ok(Vec::new());
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| ConfigError::Unreadable {
                file: self.folder.clone(),
                what: "folder of included files",
                source,
            })?;
            if entry.file_name().to_str().is_some_and(|name| self.matches(name)) {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }
}
