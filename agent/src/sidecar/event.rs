//! What others are told of a change: hooks by their environment, masters by a Salt event.

use proto::message::{Command, MinionId, Value};

/// The tag of the event. Reactors and `salt-run state.event 'saltfo/*'` find it by that.
pub const TAG: &str = "saltfo/master/changed";

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What did.
    pub kind: Kind,
    /// The minion that the sidecar runs beside.
    pub minion: MinionId,
    /// The master that it is about, by name; for [`Kind::ActiveMaster`] and [`Kind::Relay`] the new one.
    pub master: Option<String>,
    /// What was before: a state, or for [`Kind::ActiveMaster`] and [`Kind::Relay`] a master.
    pub from: Option<String>,
    /// What is now.
    pub to: Option<String>,
    /// Why, in words.
    pub why: String,
    /// The master through which the minion is reached now.
    pub active_master: Option<String>,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The state of a master.
    Master,
    /// Which master is the active one.
    ActiveMaster,
    /// The minion was restarted, or should have been.
    Restart,
    /// The relay carries the minion's messages to another master.
    Relay,
}

impl Kind {
    /// The name in events and hooks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::ActiveMaster => "active_master",
            Self::Restart => "restart",
            Self::Relay => "relay",
        }
    }
}

impl Change {
    fn facts(&self) -> [(&'static str, Option<&str>); 7] {
        [
            ("event", Some(self.kind.name())),
            ("minion", Some(self.minion.as_str())),
            ("master", self.master.as_deref()),
            ("from", self.from.as_deref()),
            ("to", self.to.as_deref()),
            ("why", Some(&self.why)),
            ("active_master", self.active_master.as_deref()),
        ]
    }

    /// `SALTFO_EVENT`, `SALTFO_MINION`, `SALTFO_MASTER`, `SALTFO_FROM`, `SALTFO_TO`, `SALTFO_WHY`,
    /// `SALTFO_ACTIVE_MASTER`: always all of them, empty where there is nothing to say.
    pub fn environment(&self) -> impl Iterator<Item = (String, String)> {
        self.facts().into_iter().map(|(name, value)| {
            // The environment cannot hold null bytes, and a reason may quote what a peer sent.
            let value = value.unwrap_or_default().replace('\0', "\u{fffd}");
            (format!("SALTFO_{}", name.to_ascii_uppercase()), value)
        })
    }

    /// The data of the event, to be sent by [`Change::command`].
    #[must_use]
    pub fn data(&self) -> Value {
        let facts = self.facts();
        Value::map(facts.map(|(name, value)| (name, value.map_or(Value::Nil, Value::text))))
    }

    /// The request that puts the event on a master's bus.
    #[must_use]
    pub fn command(data: &Value) -> Command<'_> {
        Command::MinionEvent { tag: TAG, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change() -> Change {
        Change {
            kind: Kind::Master,
            minion: MinionId::parse("minion01").unwrap(),
            master: Some("salt1".to_owned()),
            from: Some("up".to_owned()),
            to: Some("hung".to_owned()),
            why: "no answer\0 in 3 s".to_owned(),
            active_master: None,
        }
    }

    #[test]
    fn hooks_get_every_fact_and_empty_text_for_what_is_not() {
        let environment: Vec<_> = change().environment().collect();
        let expected = [
            ("SALTFO_EVENT", "master"),
            ("SALTFO_MINION", "minion01"),
            ("SALTFO_MASTER", "salt1"),
            ("SALTFO_FROM", "up"),
            ("SALTFO_TO", "hung"),
            ("SALTFO_WHY", "no answer\u{fffd} in 3 s"),
            ("SALTFO_ACTIVE_MASTER", ""),
        ];
        assert_eq!(
            environment,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn masters_get_the_same_facts_and_nil_for_what_is_not() {
        let data = change().data();
        assert_eq!(data.get("to"), Some(&Value::text("hung")));
        assert_eq!(data.get("active_master"), Some(&Value::Nil));
        assert!(matches!(
            Change::command(&data),
            Command::MinionEvent {
                tag: "saltfo/master/changed",
                ..
            }
        ));
    }
}
