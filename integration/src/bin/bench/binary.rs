//! The `saltfo` binary: built as this program was, its size, the libraries that it needs.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::report::Row;

/// Largest size that is aimed at, in MiB.
const SIZE: f64 = 15.0;
const MIB: f64 = 1024.0 * 1024.0;

/// What can be told of the binary without running it.
///
/// # Errors
/// It can't be read, or `ldd` can't be run.
pub(crate) fn rows(saltfo: &Path) -> anyhow::Result<Vec<Row>> {
    let bytes = std::fs::metadata(saltfo)?.len();
    #[expect(clippy::cast_precision_loss, reason = "no file is that large")]
    let size = bytes as f64 / MIB;
    let output = Command::new("ldd")
        .arg(saltfo)
        .env("LC_ALL", "C")
        .output()
        .context("cannot run ldd (Debian: apt install libc-bin)")?;
    let listed = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success()
            || String::from_utf8_lossy(&output.stderr).contains("not a dynamic executable"),
        "ldd {}: {}",
        saltfo.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let names = libraries(&listed);
    let foreign = names.iter().filter(|name| !is_libc(name)).count();
    let shown = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let foreign = foreign as f64;
    Ok(vec![
        Row::new("size", format!("{size:.1} MiB"), size)
            .target(&format!("at most {SIZE:.0} MiB"), size <= SIZE),
        Row::new("shared libraries", shown, foreign).target("libc alone", foreign == 0.0),
    ])
}

/// The names in what `ldd` prints: `NAME => PATH (ADDRESS)`, or `PATH (ADDRESS)` for the loader.
fn libraries(ldd: &str) -> Vec<String> {
    ldd.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.contains(".so"))
        .filter_map(|name| name.rsplit('/').next())
        .map(str::to_owned)
        .collect()
}

/// The C library, its loader, and the page that the kernel maps.
fn is_libc(name: &str) -> bool {
    [
        "libc.so.",
        "ld-linux",
        "ld64.so.",
        "libc.musl-",
        "ld-musl-",
        "linux-vdso",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LDD: &str = "\tlinux-vdso.so.1 (0x00007ffd6b3c2000)\n\
        \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f6f1c5b1000)\n\
        \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f6f1c3d0000)\n\
        \t/lib64/ld-linux-x86-64.so.2 (0x00007f6f1c8a5000)\n";

    #[test]
    fn a_library_beside_libc_is_noticed() {
        let names = libraries(LDD);
        assert_eq!(
            names,
            [
                "linux-vdso.so.1",
                "libgcc_s.so.1",
                "libc.so.6",
                "ld-linux-x86-64.so.2"
            ]
        );
        let foreign: Vec<_> = names.iter().filter(|name| !is_libc(name)).collect();
        assert_eq!(foreign, ["libgcc_s.so.1"]);
    }

    #[test]
    fn a_static_binary_needs_no_library() {
        assert!(libraries("\tstatically linked\n").is_empty());
    }
}
