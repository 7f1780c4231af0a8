//! `saltfo move` and `saltfo drain`: orders to the sidecar of this host.

use std::time::Duration;

use super::args::{Common, Drain, Move};
use super::{CliError, block_on, document, harmless, say, status};
use crate::exit::Exit;
use crate::sidecar::control::{self, ControlError, Done, Order, Outcome};

/// The move itself, the proof, and the way back.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) fn move_minion(common: &Common, request: &Move) -> Result<Exit, CliError> {
    give(common, request.listen, &Order::Move(request.master.clone()))
}

pub(super) fn drain(common: &Common, request: &Drain) -> Result<Exit, CliError> {
    let master = request.master.clone();
    let order = if request.end {
        Order::Undrain(master)
    } else {
        Order::Drain(master)
    };
    give(common, request.listen, &order)
}

fn give(common: &Common, listen: Option<std::net::SocketAddr>, order: &Order) -> Result<Exit, CliError> {
    let address = match listen {
        Some(address) => address,
        None => status::listens_at(common)?,
    };
    let patience = common.timeout.unwrap_or(PATIENCE);
    match block_on(control::ask(address.port(), order, patience))? {
        Ok(done) => {
            let done = Done {
                from: done.from.as_deref().map(harmless::text),
                to: done.to.as_deref().map(harmless::text),
                why: harmless::text(&done.why),
                ..done
            };
            let document = serde_json::to_value(&done).map_err(|error| CliError::Print(error.to_string()))?;
            document::print(&document, common.out, &in_words(&done))?;
            Ok(exit(done.result))
        }
        Err(ControlError::NoAnswer(why)) => {
            let why = harmless::text(&why);
            say(format_args!(
                "the sidecar has the order and did not say in time what became of it ({why}): see `saltfo status`"
            ));
            Ok(Exit::Unknown)
        }
        Err(error) => Err(error.into()),
    }
}

fn in_words(done: &Done) -> String {
    let (from, to) = (
        done.from.as_deref().unwrap_or("-"),
        done.to.as_deref().unwrap_or("-"),
    );
    let why = &done.why;
    match (done.result, done.after_ms) {
        (Outcome::Moved, Some(after)) => {
            format!("moved from {from} to {to}: the minion answered there after {after:.0} ms\n")
        }
        (Outcome::Moved, None) => format!("moved from {from} to {to}\n"),
        (Outcome::Unproven, _) => format!("moved from {from} to {to}; not proven: {why}\n"),
        (Outcome::TakenBack, _) => format!("moved back to {to}: {why}\n"),
        (Outcome::Noted, _) => format!("noted; the minion is on {to}: {why}\n"),
        (Outcome::Unable | Outcome::Refused, _) => format!("not moved: {why}\n"),
    }
}

fn exit(outcome: Outcome) -> Exit {
    match outcome {
        Outcome::Moved | Outcome::Unproven | Outcome::Noted => Exit::Done,
        Outcome::TakenBack => Exit::Failed,
        Outcome::Unable => Exit::NoMaster,
        Outcome::Refused => Exit::Usage,
    }
}
