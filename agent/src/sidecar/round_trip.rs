//! A round trip through one master to the local minion: do commands really get through?
//!
//! A `test.ping` to our own id, published at that master in our turn and asked again if need be, over a connection of
//! its own that is closed afterwards. It costs a master two private-key operations, a publish and some looks for the
//! return, so it is rare. Behind a relay the return passes us, and one look mostly does.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::facts::{Fact, MasterIndex, RoundTrip, What};
use crate::config::Config;
use crate::locate::{self, Located, Question, Signs};
use crate::permission;
use crate::state::{State, Verdict};

/// The longest that a round trip may take.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Tries one round trip. Ends within [`PATIENCE`]; dropping the future ends it at once. `signs`: something of the minion's has been
/// answered.
pub async fn try_once(config: &Arc<Config>, through: MasterIndex, signs: Option<Signs>) -> Fact {
    let minion = config.identity.id().clone();
    let question = Question::ping().heeding(signs).first();
    let located = locate::ask(config, &[through.0], &question, &[minion], PATIENCE).await;
    let not_permitted = permission::to_publish(config.identity.id(), "test.ping");
    Fact {
        at: Instant::now(),
        what: What::RoundTrip(through, outcome(located, through, &not_permitted)),
    }
}

fn outcome(located: Located, through: MasterIndex, not_permitted: &str) -> RoundTrip {
    let found = located.answers.into_iter().find_map(|answer| answer.found);
    if let Some(found) = found {
        return RoundTrip::Answered {
            jid: found.jid,
            after: found.rtt,
        };
    }
    let Some(master) = located.masters.into_iter().nth(through.0) else {
        return RoundTrip::Failed(Verdict::because(State::Refused, false, "no such master"));
    };
    match (master.verdict.state, master.verdict.error.as_deref()) {
        (State::Refused, Some(error)) if error == not_permitted => {
            RoundTrip::NotPermitted(not_permitted.to_owned())
        }
        (State::Reachable, _) if master.published && !master.crowded => RoundTrip::Silent,
        _ => RoundTrip::Failed(master.verdict),
    }
}

#[cfg(test)]
mod tests {
    use proto::message::{Jid, MinionId, Value};

    use super::*;
    use crate::locate::{Answer, Asked, Found};

    const FORBIDDEN: &str = "peer: does not allow it";

    fn located(found: bool, state: State, error: &str, published: bool) -> Located {
        let found = found.then(|| Found {
            master: 0,
            jid: Jid::parse("20261120184009763862").unwrap(),
            rtt: Duration::from_millis(60),
            ret: Value::Bool(true),
        });
        Located {
            answers: vec![Answer {
                minion: MinionId::parse("minion01").unwrap(),
                found,
                unknown_to: Vec::new(),
            }],
            masters: vec![Asked {
                verdict: Verdict::because(state, true, error),
                latency: None,
                crowded: false,
                stalled: false,
                published,
            }],
            took: Duration::from_secs(1),
        }
    }

    #[test]
    fn silence_is_told_from_a_master_that_failed_and_from_a_missing_permission() {
        let of = |found, state, error, published| {
            outcome(located(found, state, error, published), MasterIndex(0), FORBIDDEN)
        };
        assert!(matches!(
            of(true, State::Reachable, "", true),
            RoundTrip::Answered { .. }
        ));
        assert!(matches!(
            of(false, State::Reachable, "no return", true),
            RoundTrip::Silent
        ));
        for (state, error, published) in [
            (State::Reachable, "its handler failed", false),
            (State::Hung, "no reply", true),
            (State::Unreachable, "refused", false),
            (State::Refused, "bad load", false),
        ] {
            let outcome = of(false, state, error, published);
            assert!(matches!(outcome, RoundTrip::Failed(_)), "{outcome:?}");
        }
        assert!(matches!(
            of(false, State::Refused, FORBIDDEN, false),
            RoundTrip::NotPermitted(_)
        ));
    }
}
