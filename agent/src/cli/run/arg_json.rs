//! `--arg-json`: arguments that a shell would mangle.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use proto::message::Value;

use crate::arguments::{DocumentError, LARGEST_DOCUMENT, from_document};
use crate::cli::CliError;

/// Reads arguments from a file, or from stdin for `-`.
pub(super) fn read(file: &Path) -> Result<Vec<Value>, CliError> {
    let is_stdin = file == Path::new("-");
    let name = if is_stdin { Path::new("stdin") } else { file };
    let failed = |source| CliError::Read {
        file: name.to_owned(),
        source,
    };
    let wrong = |source| CliError::Document {
        file: name.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    // One more than is taken.
    let limit = LARGEST_DOCUMENT as u64 + 1;
    if is_stdin {
        std::io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        let open = File::open(file).map_err(failed)?;
        open.take(limit).read_to_end(&mut bytes)
    }
    .map_err(failed)?;
    if bytes.len() > LARGEST_DOCUMENT {
        return Err(wrong(DocumentError::TooLarge));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
    from_document(&text).map_err(wrong)
}
