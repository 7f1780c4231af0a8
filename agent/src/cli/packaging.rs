//! `saltfo completions` and `saltfo man`: what packagers install.

use clap::CommandFactory as _;

use super::args::Args;
use super::{CliError, say};
use crate::exit::Exit;

pub(super) fn completions(shell: clap_complete::Shell) -> Result<Exit, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "saltfo", &mut script);
    print(&script)
}

pub(super) fn man(command: Option<&str>) -> Result<Exit, CliError> {
    let mut root = Args::command();
    root.build();
    let page = match command {
        None => root,
        Some(name) => match root.find_subcommand(name) {
            Some(found) => found.clone(),
            None => {
                say(format_args!("no command {name:?}: see saltfo --help"));
                return Ok(Exit::Usage);
            }
        },
    };
    let mut text = Vec::new();
    clap_mangen::Man::new(page).render(&mut text)?;
    print(&text)
}

fn print(bytes: &[u8]) -> Result<Exit, CliError> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()?;
    Ok(Exit::Done)
}
