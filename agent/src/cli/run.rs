//! `saltfo run`.

mod arg_json;
mod cancel;
mod progress;
mod report;
mod results;
mod task;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::args::{Common, Run};
use super::{CliError, block_on};
use crate::config::Config;
use crate::dispatch::{self, Order};
use crate::exit::Exit;
use cancel::Signals;
use report::Report;
use results::Results;
use task::{Task, What};

/// How long to look for the minions: longer than a master stalls whose workers wait for each other (30 s). One that is down is
/// noticed this late.
const LOOKUP: Duration = Duration::from_secs(45);

pub(super) fn run(common: &Common, request: &Run) -> Result<Exit, CliError> {
    // All of this before anything is sent.
    let task = Task::of(common, request)?;
    let results = Results::prepare(common, request)?;
    let config = Arc::new(common.config()?);
    let mut report = Report::new(&config, &task, results);
    block_on(follow(&config, &task, request, &mut report))??;
    Ok(report.finish())
}

/// Does the task, and tells of it, until it is done or a signal comes.
async fn follow(
    config: &Arc<Config>,
    task: &Task,
    request: &Run,
    report: &mut Report<'_>,
) -> Result<(), CliError> {
    let mut signals = Signals::install().map_err(CliError::Runtime)?;
    let (reports, mut events) = mpsc::unbounded_channel();
    let work = async {
        match &task.what {
            What::Dispatch(job) => {
                let order = Order {
                    job: job.clone(),
                    minions: task.minions.clone(),
                    refresh_pillar: request.refresh_pillar,
                    lookup: LOOKUP,
                    timeout: task.timeout,
                };
                dispatch::dispatch(config, order, &reports).await;
            }
            What::PickUp(jid) => {
                dispatch::pick_up(config, jid, &task.minions, task.timeout, &reports).await;
            }
        }
    };
    let signalled = {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => report.note(event),
                    None => break false,
                },
                () = &mut work => break false,
                () = signals.next() => break true,
            }
        }
    };
    // What was reported last.
    while let Ok(event) = events.try_recv() {
        report.note(event);
    }
    if signalled {
        report.cancel(request.on_cancel, &mut signals).await;
    }
    Ok(())
}
