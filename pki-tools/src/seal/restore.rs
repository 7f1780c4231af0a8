//! `unseal`: sealed texts become what they were, byte for byte.

use std::collections::BTreeMap;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::halves::{Half, halves, open_all, reported, strays};
use super::report::{Report, readable};
use super::{Keyring, Opened, Options};
use crate::edit::{locked, write};
use crate::error::Error;
use crate::include::Sources;
use crate::yaml::{Change, Differs, Document, Edited, NewValue, apply, compare, double_quoted};

/// Gives back every private half of these clients and what they include as it was before it was sealed. Where a
/// file was edited in the meantime so that the old form does not fit any more, the value gets the form of a new one.
///
/// # Errors
/// [`Error`], with the place and the remedy. No file has changed then, unless [`Error::Write`] names it.
pub fn unseal(files: &[PathBuf], keyring: &Keyring, options: Options) -> Result<Report, Error> {
    if options.dry_run {
        return run(&Sources::load(files)?, keyring, options);
    }
    locked(files, |sources| run(sources, keyring, options))
}

fn run(sources: &Sources, keyring: &Keyring, options: Options) -> Result<Report, Error> {
    let all = halves(sources)?;
    let (sealed, open): (Vec<_>, Vec<_>) = all.iter().partition(|half| half.private.is_sealed());
    for document in &sources.documents {
        let gets_keys = sealed.iter().any(|half| half.document().index == document.index);
        options
            .permissions
            .check_file(&document.path, &document.name, gets_keys)?;
    }
    for half in &sealed {
        half.editable()?;
    }
    let opened = open_all(&sealed, keyring)?;
    let edited = restore(&sealed, opened)?;
    if !options.dry_run {
        write(sources, &edited)?;
    }
    let touched = || {
        let documents = sources.documents.iter();
        documents.filter(|document| edited.contains_key(&document.index))
    };
    Ok(Report {
        dry_run: options.dry_run,
        keys: reported(&sealed, &edited),
        left: open.len(),
        edited: touched().map(|document| document.name.clone()).collect(),
        strays: strays(sources, &all, &edited),
        readable_by_others: touched().filter_map(readable).collect(),
    })
}

/// The texts in which these halves are unsealed; they come in the order of the files.
pub(super) fn restore(halves: &[&Half<'_>], opened: Vec<Opened>) -> Result<BTreeMap<usize, Edited>, Error> {
    let mut opened = opened.into_iter();
    let mut all = BTreeMap::new();
    for of_document in halves.chunk_by(|a, b| a.document().index == b.document().index) {
        let values = of_document.iter().zip(opened.by_ref());
        let values = values.map(|(half, opened)| Unsealed {
            half,
            opened,
            form: Form::AsItWas,
        });
        if let Some(document) = of_document.first().map(|half| half.document()) {
            all.insert(document.index, restore_in(document, values.collect())?);
        }
    }
    Ok(all)
}

/// A value on its way back into the file.
struct Unsealed<'h, 'a> {
    half: &'h Half<'a>,
    opened: Opened,
    form: Form,
}

/// How a value is written. The next one is taken if the file has changed so that one would not be read as the value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    AsItWas,
    /// As `gen` writes it.
    Ours,
    /// In double quotes, on one line, which every text can be.
    Quoted,
}

fn restore_in(document: &Document, mut values: Vec<Unsealed<'_, '_>>) -> Result<Edited, Error> {
    loop {
        let mut texts = Vec::new();
        let mut changes: BTreeMap<usize, Change<'_>> = BTreeMap::new();
        for value in &values {
            let pair = value.half.pair.node;
            let number = value.half.editable()?;
            let new = value.written(&mut texts);
            let change = changes
                .entry(pair.start.offset)
                .or_insert_with(|| Change::of(pair));
            change.set.push((number, new));
        }
        let edited = apply(document, &changes, &texts)?;
        let differs = match compare(document, &edited, &changes, &texts) {
            Ok(()) => return Ok(edited),
            Err(differs) => differs,
        };
        let mut raised = false;
        for value in &mut values {
            let key = value.half.entry.key.start.offset;
            let meant = match &differs {
                Differs::Near(_) => true,
                Differs::Values(values) => values.iter().any(|(at, _)| *at == key),
            };
            raised |= meant && value.raise();
        }
        // Each value can be raised twice, so this ends.
        if !raised {
            return Err(differs.error(document));
        }
    }
}

impl Unsealed<'_, '_> {
    /// Takes the next form; false if there is none.
    fn raise(&mut self) -> bool {
        let next = match self.form {
            Form::AsItWas => Form::Ours,
            Form::Ours => Form::Quoted,
            Form::Quoted => return false,
        };
        self.form = next;
        true
    }

    /// The value for the file; a text goes into the table.
    fn written(&self, texts: &mut Vec<Zeroizing<String>>) -> NewValue {
        let value = self.opened.value.clone();
        let ours = value.strip_suffix('\n') == Some(value.trim_end());
        match (self.form, self.source()) {
            (Form::AsItWas, Some(source)) => NewValue::Verbatim { source, value },
            (Form::AsItWas | Form::Ours, _) if ours => {
                texts.push(value);
                NewValue::Text(texts.len() - 1)
            }
            _ => NewValue::Verbatim {
                source: double_quoted(&value),
                value,
            },
        }
    }

    /// How the file had it, if that fits where it is to stand.
    fn source(&self) -> Option<Zeroizing<String>> {
        let written = self.opened.written.as_ref()?;
        let pair = self.half.pair.node;
        let one_line = !written.source.contains(['\n', '\r']);
        let same_column = u32::try_from(pair.start.column) == Ok(written.column);
        let block = written.source.starts_with(['|', '>']);
        ((one_line || same_column) && !(block && pair.is_flow())).then(|| written.source.clone())
    }
}
