//! `saltfo active-master`.

use std::sync::Arc;

use super::args::{ActiveMaster, Common};
use super::document::{self, Lookup};
use super::dotenv::Dotenv;
use super::{CliError, block_on, say};
use crate::exit::Exit;
use crate::locate::locate;
use crate::state::State;

pub(super) fn run(common: &Common, request: &ActiveMaster) -> Result<Exit, CliError> {
    let dotenv = request.dotenv.as_deref().map(Dotenv::prepare).transpose()?;
    let config = Arc::new(common.config()?);
    let (minions, several) = match &request.minion {
        Some(minion) => (std::slice::from_ref(minion), false),
        None => (request.list.as_slice(), true),
    };
    let located = block_on(locate(&config, minions, common.patience()))?;

    let lookups: Vec<_> = located
        .answers
        .iter()
        .map(|answer| Lookup::new(&config, &located, answer))
        .collect();
    let codes = located
        .answers
        .iter()
        .map(|answer| Exit::of_answer(answer, &located));
    let worst = codes.max().unwrap_or(Exit::NoMaster);
    explain(common, &lookups);

    if let (Some(dotenv), [answer]) = (dotenv, located.answers.as_slice())
        && let Some(found) = &answer.found
        && let Some(master) = config.masters.get(found.master)
    {
        dotenv.write(&answer.minion, master)?;
    }
    if several {
        let lines = lookups
            .iter()
            .map(|lookup| format!("{}\t{}\n", lookup.minion(), lookup.active().unwrap_or("-")));
        document::print(&lookups, common.out, &lines.collect::<String>())?;
    } else if let Some(lookup) = lookups.first() {
        let text = lookup
            .active()
            .map(|name| format!("{name}\n"))
            .unwrap_or_default();
        document::print(lookup, common.out, &text)?;
    }
    Ok(worst)
}

/// Says on stderr why the answer is missing, and what is wrong with a master that is not the answer.
fn explain(common: &Common, lookups: &[Lookup<'_>]) {
    let missing: Vec<&str> = lookups
        .iter()
        .filter(|lookup| lookup.active().is_none())
        .map(Lookup::minion)
        .collect();
    if !missing.is_empty() {
        say(format_args!("no master has {}", missing.join(", ")));
    }
    let Some(lookup) = lookups
        .iter()
        .find(|lookup| lookup.active().is_none())
        .or(lookups.first())
    else {
        return;
    };
    for master in &lookup.masters {
        // A master that merely does not have the minion is as it should be.
        let expected = matches!(master.state, State::Active | State::Reachable);
        if !expected || !missing.is_empty() || common.verbose > 0 {
            let why = master
                .error
                .as_ref()
                .map(|error| format!(": {error}"))
                .unwrap_or_default();
            say(format_args!("{}: {}{why}", master.name, master.state.name()));
        }
    }
}
