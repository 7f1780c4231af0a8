//! Which files make up a client: the top file, the folders and the files that it includes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Place};
use crate::tolerance::Tolerance;
use crate::yaml::{Document, Edited, View};

/// The files of one or more clients, each read once.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) documents: Vec<Document>,
    by_path: BTreeMap<PathBuf, usize>,
    clients: Vec<Vec<usize>>,
    /// The numbers of the clients of which something could not be read.
    incomplete: BTreeSet<usize>,
}

impl Sources {
    /// Reads clients with everything that they include.
    pub(crate) fn load<P: AsRef<Path>>(files: &[P]) -> Result<Self, Error> {
        Self::read(files, &mut Tolerance::None)
    }

    /// The same, as far as the faults in them are tolerated.
    ///
    /// # Errors
    /// Whatever isn't tolerated, and [`Error::Read`] for a file of these that cannot be read at all.
    pub(crate) fn read<P: AsRef<Path>>(files: &[P], tolerance: &mut Tolerance<'_>) -> Result<Self, Error> {
        let mut sources = Self::default();
        let mut tops = Vec::new();
        for file in files {
            let file = file.as_ref();
            let path = fs::canonicalize(file).map_err(|e| Error::read(file, e))?;
            // The same file given twice is one client.
            if tops.contains(&path) {
                continue;
            }
            tops.push(path.clone());
            let base = file.parent().unwrap_or(Path::new(""));
            let mut client = Vec::new();
            sources.visit(file, path, base, &mut Vec::new(), &mut client, tolerance)?;
            sources.clients.push(client);
        }
        Ok(sources)
    }

    /// The documents of each client: the top file, then what it includes, in the order of reading.
    pub(crate) fn clients(&self) -> impl Iterator<Item = Vec<&Document>> {
        self.clients
            .iter()
            .map(|client| client.iter().filter_map(|n| self.documents.get(*n)).collect())
    }

    /// The same files with other texts.
    pub(crate) fn edited(&self, edited: &BTreeMap<usize, Edited>) -> Result<Self, Error> {
        let documents = self.documents.iter().map(|document| {
            let text = edited
                .get(&document.index)
                .map_or(&document.text, |edited| &edited.text);
            let bytes = text.as_bytes().to_vec();
            let (index, name, path) = (document.index, &document.name, &document.path);
            Document::parse(index, name, path, bytes)
        });
        Ok(Self {
            documents: documents.collect::<Result<_, _>>()?,
            by_path: self.by_path.clone(),
            clients: self.clients.clone(),
            incomplete: self.incomplete.clone(),
        })
    }

    /// Whether nothing of this client had to be left out.
    pub(crate) fn is_complete(&self, client: usize) -> bool {
        !self.incomplete.contains(&client)
    }

    /// Every file, sorted.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.by_path.keys().cloned().collect()
    }

    fn visit(
        &mut self,
        name: &Path,
        path: PathBuf,
        base: &Path,
        under_way: &mut Vec<PathBuf>,
        client: &mut Vec<usize>,
        tolerance: &mut Tolerance<'_>,
    ) -> Result<(), Error> {
        let index = match self.by_path.get(&path) {
            Some(index) => *index,
            None => {
                let index = self.documents.len();
                let bytes = fs::read(name).map_err(|e| Error::read(name, e));
                // What was named by the caller must be there.
                let bytes = if under_way.is_empty() {
                    Some(bytes?)
                } else {
                    tolerance.ok(bytes)?
                };
                let document = match bytes {
                    Some(bytes) => {
                        let parsed = Document::read(index, name, &path, bytes, tolerance);
                        tolerance.ok(parsed)?
                    }
                    None => None,
                };
                let Some(document) = document else {
                    self.incomplete.insert(self.clients.len());
                    return Ok(());
                };
                self.documents.push(document);
                self.by_path.insert(path.clone(), index);
                index
            }
        };
        // A file that is included twice counts where it comes last: later files supersede earlier ones.
        client.retain(|known| *known != index);
        client.push(index);
        let noted = tolerance.noted();
        let included = match self.documents.get(index).and_then(View::root) {
            Some(root) => included(&root, base, tolerance)?,
            None => Vec::new(),
        };
        if tolerance.noted() > noted {
            self.incomplete.insert(self.clients.len());
        }
        under_way.push(path);
        for (place, name) in included {
            let path = fs::canonicalize(&name).map_err(|source| Error::Include {
                place: place.clone(),
                path: name.clone(),
                source,
            });
            let Some(path) = tolerance.ok(path)? else {
                self.incomplete.insert(self.clients.len());
                continue;
            };
            if under_way.contains(&path) {
                tolerance.fault(Error::CircularInclude { place, path: name })?;
                continue;
            }
            self.visit(&name, path, base, under_way, client, tolerance)?;
        }
        under_way.pop();
        Ok(())
    }
}

/// The files that a document's `include:` stands for, each with the place that names it.
fn included(
    root: &View<'_>,
    base: &Path,
    tolerance: &mut Tolerance<'_>,
) -> Result<Vec<(Place, PathBuf)>, Error> {
    let Some(include) = root.get("include") else {
        return Ok(Vec::new());
    };
    let Some(include) = tolerance.ok(include.mapping("include"))? else {
        return Ok(Vec::new());
    };
    let mut list = |key: &str| -> Result<Vec<(Place, String)>, Error> {
        let Some(list) = include.get(key) else {
            return Ok(Vec::new());
        };
        let mut texts = Vec::new();
        for item in tolerance.ok(list.items(key))?.unwrap_or_default() {
            if let Some(text) = tolerance.ok(item.text(key))? {
                texts.push((item.place(), text.to_owned()));
            }
        }
        Ok(texts)
    };
    let skip = Skip {
        dirs: words(list("skip_dirs")?),
        files: words(list("skip_files")?),
        base,
    };
    let (dirs, named) = (list("dirs")?, list("files")?);
    let mut files = Vec::new();
    for (place, dir) in dirs {
        let dir = base.join(dir);
        let mut found = Vec::new();
        let walked = skip
            .walk(&dir, &mut Vec::new(), &mut found)
            .map_err(|source| Error::Include {
                place: place.clone(),
                path: dir,
                source,
            });
        tolerance.ok(walked)?;
        found.sort();
        files.extend(found.into_iter().map(|file| (place.clone(), file)));
    }
    files.extend(named.into_iter().map(|(place, file)| (place, base.join(file))));
    Ok(files)
}

fn words(list: Vec<(Place, String)>) -> Vec<String> {
    list.into_iter()
        .map(|(_, word)| word)
        .filter(|word| !word.is_empty())
        .collect()
}

/// What a folder is read without.
struct Skip<'a> {
    dirs: Vec<String>,
    files: Vec<String>,
    base: &'a Path,
}

impl Skip<'_> {
    fn walk(&self, dir: &Path, above: &mut Vec<PathBuf>, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
        // A symbolic link to a folder above would never end.
        let real = fs::canonicalize(dir)?;
        if above.contains(&real) {
            return Ok(());
        }
        above.push(real);
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
            // Hidden ones are editors' and version control's.
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                let relative = path.strip_prefix(self.base).unwrap_or(&path).to_string_lossy();
                if !self.dirs.iter().any(|skip| relative.contains(skip)) {
                    self.walk(&path, above, found)?;
                }
            } else if name.ends_with(".yaml") && !self.files.iter().any(|skip| name.contains(skip)) {
                found.push(path);
            }
        }
        above.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(top: &Path) -> Vec<String> {
        let sources = Sources::load(&[top]).unwrap();
        let client = sources.clients().next().unwrap();
        let base = top.parent().unwrap();
        client
            .iter()
            .map(|d| d.name.strip_prefix(base).unwrap().display().to_string())
            .collect()
    }

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn folders_are_read_recursively_and_sorted_then_files() {
        let dir = tree(&[
            (
                "top.yaml",
                "include: {dirs: [x], files: [o/z.yaml, x/b.yaml], skip_dirs: [old], skip_files: [draft]}",
            ),
            ("x/c.yaml", ""),
            ("x/b.yaml", ""),
            ("x/a/y.yaml", ""),
            ("x/a/old2/n.yaml", "not: [read"),
            ("x/a/draft-1.yaml", "not: [read"),
            ("x/.hidden.yaml", "not: [read"),
            ("x/readme.md", ""),
            ("o/z.yaml", ""),
        ]);
        assert_eq!(
            names(&dir.path().join("top.yaml")),
            ["top.yaml", "x/a/y.yaml", "x/c.yaml", "o/z.yaml", "x/b.yaml"]
        );
    }

    #[test]
    fn a_circle_is_refused_with_the_place_that_closes_it() {
        let dir = tree(&[
            ("a.yaml", "include:\n  files: [b.yaml]\n"),
            ("b.yaml", "x: 1\ninclude: {files: [a.yaml]}"),
        ]);
        let error = Sources::load(&[dir.path().join("a.yaml")]).err().unwrap();
        let Error::CircularInclude { place, .. } = error else {
            panic!("{error}")
        };
        assert_eq!(
            (place.file, place.line, place.column),
            (dir.path().join("b.yaml"), 2, 19)
        );
    }

    #[test]
    fn an_include_that_is_missing_is_named_with_its_place() {
        let dir = tree(&[
            ("a.yaml", "include:\n  dirs: [none]\n"),
            ("b.yaml", "include: {files: [none.yaml]}"),
        ]);
        for (file, line) in [("a.yaml", 2), ("b.yaml", 1)] {
            let error = Sources::load(&[dir.path().join(file)]).err().unwrap();
            let Error::Include { place, .. } = error else {
                panic!("{error}")
            };
            assert_eq!(place.line, line);
        }
    }
}
