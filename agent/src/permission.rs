//! What an operator must add to a master's configuration so that we may do something there.

use proto::message::MinionId;

/// For a master whose `peer:` does not let us publish a function.
pub(crate) fn to_publish(id: &MinionId, function: &str) -> String {
    format!(
        "does not let {id} publish {function}: install that master anew with `pki-tools install … --peer-allow LIST`, \
         {function} in the list, or add `{}` to its configuration; then restart it",
        entry("peer", id, function)
    )
}

/// For a master whose `peer_run:` does not let us call a runner.
pub(crate) fn to_run(id: &MinionId, runner: &str) -> String {
    format!(
        "does not let {id} run {runner}: add `{}` to its configuration",
        entry("peer_run", id, runner)
    )
}

/// Salt matches both sides as regular expressions, at the start only: without `$`, an id or a function that begins
/// like this one would be let in as well.
fn entry(option: &str, id: &MinionId, function: &str) -> String {
    let exactly = |text: &str| -> String {
        let special = |letter: char| r"\.+*?()|[]{}^$".contains(letter);
        text.chars()
            .flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter]))
            .collect()
    };
    format!(
        "{option}: {{'^{}$': ['{}$']}}",
        exactly(id.as_str()),
        exactly(function)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_and_nothing_else_is_let_in() {
        let id = MinionId::parse("pipeline.xyz").unwrap();
        let text = to_publish(&id, "state.apply");
        assert!(
            text.contains(r"`peer: {'^pipeline\.xyz$': ['state\.apply$']}`"),
            "{text}"
        );
        assert!(text.contains("pki-tools install … --peer-allow LIST"), "{text}");
        let text = to_run(&id, "jobs.list_job");
        assert!(
            text.contains(r"`peer_run: {'^pipeline\.xyz$': ['jobs\.list_job$']}`"),
            "{text}"
        );
    }
}
