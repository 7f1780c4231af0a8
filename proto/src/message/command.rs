//! The commands that we send in encrypted requests, and what masters answer to each.

use super::{Jid, Mark, MinionId, Value};

/// A command of a minion. Each carries all the fields that Salt's handler wants.
#[derive(Debug, Clone)]
pub enum Command<'a> {
    /// `_file_envs`: the names of the file server's environments. Small, read-only, allowed to every minion.
    FileEnvs,
    /// `_minion_event`: put an event on the master's event bus, as `event.send` on a minion does. The master adds nothing but a time:
    /// what it fires is this load, with `id` (which it has verified), `cmd`, `tag` and `data`. It answers nil.
    MinionEvent {
        /// Its tag. Masters check no tag of this form; Salt's own, `salt/…`, are better left alone.
        tag: &'a str,
        /// Its data, a map.
        data: &'a Value,
    },
    /// `_file_find` of nothing: the cheapest proof that a worker works. All three releases answer a constant before
    /// they look at any file server (`salt/fileserver/__init__.py`, `Fileserver._find_file`), and log nothing.
    FindNoFile,
    /// `minion_pub`: start a job on minions, if the master's `peer:` allows it; do not wait.
    ///
    /// Salt's worker calls its own master for this and waits for another worker: with as many at once as
    /// the master has workers it stands still. At most one may be under way per master.
    MinionPub {
        /// Function to run, such as `test.ping`.
        function: &'a str,
        /// Positional arguments; the master reads texts as YAML.
        arguments: &'a [Value],
        /// The minions, by id. Always sent as a list, so that no id is taken for a pattern.
        minions: &'a [MinionId],
        /// What this one publication is known by, should the reply with its jid be lost.
        mark: Option<&'a Mark>,
        /// The job that this one is the lookup for.
        announces: Option<&'a Mark>,
    },
    /// `minion_runner`: run a runner on the master, if its `peer_run:` allows it, and wait for its result.
    MinionRunner {
        /// Function to run, such as `jobs.list_job`.
        function: &'a str,
        /// Positional arguments; the master reads texts as YAML.
        arguments: &'a [Value],
    },
    /// `pub_ret`: the returns of a job that this identity published. Empty until there are some.
    PubRet {
        /// The job.
        jid: &'a Jid,
    },
}

impl Command<'_> {
    /// The fields of the load, without those that every request has.
    pub(crate) fn fields(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::FileEnvs => vec![("cmd", Value::text("_file_envs"))],
            Self::MinionEvent { tag, data } => vec![
                ("cmd", Value::text("_minion_event")),
                ("tag", Value::text(*tag)),
                ("data", (*data).clone()),
            ],
            Self::FindNoFile => vec![
                ("cmd", Value::text("_file_find")),
                ("path", Value::text("")),
                ("saltenv", Value::text("base")),
            ],
            Self::MinionPub {
                function,
                arguments,
                minions,
                mark,
                announces,
            } => vec![
                ("cmd", Value::text("minion_pub")),
                ("fun", Value::text(*function)),
                ("arg", Value::Array(arguments.to_vec())),
                ("tgt", targets(minions, *mark, *announces)),
                ("tgt_type", Value::text("list")),
                ("ret", Value::text("")),
                ("tmo", Value::Int(5)),
                ("form", Value::text("clean")),
            ],
            Self::MinionRunner { function, arguments } => vec![
                ("cmd", Value::text("minion_runner")),
                ("fun", Value::text(*function)),
                ("arg", Value::Array(arguments.to_vec())),
            ],
            Self::PubRet { jid } => {
                vec![
                    ("cmd", Value::text("pub_ret")),
                    ("jid", Value::text(jid.as_str())),
                ]
            }
        }
    }
}

/// The minions, and with the first of them what is to be said.
fn targets(minions: &[MinionId], mark: Option<&Mark>, announces: Option<&Mark>) -> Value {
    let ids = minions.iter().map(|minion| Value::text(minion.as_str()));
    let said = mark
        .map(ToString::to_string)
        .or(announces.map(Mark::announcement));
    match said {
        None => Value::Array(ids.collect()),
        Some(said) => {
            let said = std::iter::once(Value::text(said)).chain(std::iter::repeat(Value::Nil));
            Value::Map(ids.zip(said).collect())
        }
    }
}

/// What a master answers to `minion_pub`.
#[derive(Debug, Clone, PartialEq)]
pub enum Published {
    /// The job was published.
    Job(PublishedIn),
    /// No accepted key has one of the ids (`jid` is the integer 0). Never poll for it: all such jobs share an id.
    NoSuchMinion,
    /// The empty map: `peer:` does not allow this function to this identity. Salt gives no reason.
    NotPermitted,
    /// The empty text: the handler failed, or could not reach its own publisher. The job may have started.
    HandlerFailed,
    /// Something that no release answers.
    Unexpected,
}

/// A published job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedIn {
    /// Its id.
    pub jid: Jid,
    /// The minions whose keys the master has, of those that were asked for. Nothing says that they are connected.
    pub minions: Vec<String>,
}

impl Published {
    /// Reads the verified reply.
    #[must_use]
    pub fn from_value(value: &Value) -> Self {
        if value.as_bytes().is_some_and(<[u8]>::is_empty) {
            return Self::HandlerFailed;
        }
        if value.as_map().is_some_and(<[_]>::is_empty) {
            return Self::NotPermitted;
        }
        match value.get("jid") {
            Some(Value::Int(0)) => Self::NoSuchMinion,
            Some(jid) => match jid.as_text().map(Jid::parse) {
                Some(Ok(jid)) => {
                    let minions = value.get("minions").and_then(Value::as_array).unwrap_or_default();
                    let minions = minions
                        .iter()
                        .filter_map(Value::as_text)
                        .map(str::to_owned)
                        .collect();
                    Self::Job(PublishedIn { jid, minions })
                }
                _ => Self::Unexpected,
            },
            None => Self::Unexpected,
        }
    }
}

/// The returns in a reply to `pub_ret`.
#[derive(Debug, Clone, PartialEq)]
pub struct Returned(Value);

impl Returned {
    /// Takes the verified reply.
    #[must_use]
    pub fn from_value(value: Value) -> Self {
        Self(value)
    }

    /// Whether the master knows the job as one that it published for us. One that does not has no file with its
    /// id (`cachedir/publish_auth`), and answers with the empty text.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.0.as_map().is_some()
    }

    /// What this minion returned, once it has.
    #[must_use]
    pub fn of(&self, minion: &MinionId) -> Option<&Value> {
        self.0.get(minion.as_str())?.get("ret")
    }

    /// The outputter that this minion asks for, if it does: `highstate`, `nested`.
    #[must_use]
    pub fn outputter(&self, minion: &MinionId) -> Option<&str> {
        self.0.get(minion.as_str())?.get("out")?.as_text()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_to_minion_pub_is_told_apart() {
        let job = Value::map([
            ("jid", Value::text("20261120184009763862")),
            ("minions", Value::Array(vec![Value::text("minion01")])),
        ]);
        assert_eq!(
            Published::from_value(&job),
            Published::Job(PublishedIn {
                jid: Jid::parse("20261120184009763862").unwrap(),
                minions: vec!["minion01".to_owned()]
            })
        );
        let none = Value::map([("jid", Value::Int(0)), ("minions", Value::Array(vec![]))]);
        assert_eq!(Published::from_value(&none), Published::NoSuchMinion);
        assert_eq!(
            Published::from_value(&Value::Map(vec![])),
            Published::NotPermitted
        );
        assert_eq!(Published::from_value(&Value::text("")), Published::HandlerFailed);
        for odd in [
            Value::Nil,
            Value::text("x"),
            Value::map([("jid", Value::text("../0"))]),
        ] {
            assert_eq!(Published::from_value(&odd), Published::Unexpected);
        }
    }

    #[test]
    fn an_event_is_what_masters_fire_as_it_is() {
        let data = Value::map([("to", Value::text("up"))]);
        let command = Command::MinionEvent {
            tag: "saltfo/master/changed",
            data: &data,
        };
        // `RemoteFuncs._minion_event` of 3006 to 3008: `tag` and `data`, and no `events`, or it looks for a list of them.
        assert_eq!(
            command.fields(),
            [
                ("cmd", Value::text("_minion_event")),
                ("tag", Value::text("saltfo/master/changed")),
                ("data", data.clone()),
            ]
        );
    }

    /// `tgt` of a `test.ping` for two minions.
    fn targets(mark: Option<&Mark>, announces: Option<&Mark>) -> Value {
        let command = Command::MinionPub {
            function: "test.ping",
            arguments: &[],
            minions: &["minion01", "minion02"].map(|id| MinionId::parse(id).unwrap()),
            mark,
            announces,
        };
        let mut fields = command.fields().into_iter();
        fields.find(|(name, _)| *name == "tgt").unwrap().1
    }

    #[test]
    fn a_mark_makes_the_targets_a_map_with_no_other_keys() {
        let mark = Mark::generate(&mut rand::rng());
        let [one, two] = ["minion01", "minion02"].map(Value::text);
        assert_eq!(targets(None, None), Value::Array(vec![one.clone(), two.clone()]));
        let marked = Value::Map(vec![(one, Value::text(mark.as_str())), (two, Value::Nil)]);
        assert!(mark.is_in(&marked));
        assert_eq!(targets(Some(&mark), None), marked);
    }

    #[test]
    fn a_lookup_announces_the_mark_of_its_job_and_does_not_bear_it() {
        let mark = Mark::generate(&mut rand::rng());
        let lookup = targets(None, Some(&mark));
        assert_eq!(Mark::announced_by(&lookup), Some(mark.clone()));
        assert_eq!(Mark::of(&lookup), None);
        assert!(!mark.is_in(&lookup));
        let job = targets(Some(&mark), None);
        assert_eq!(Mark::of(&job), Some(mark));
        assert_eq!(Mark::announced_by(&job), None);
        // A glob is no list.
        assert_eq!(Mark::of(&Value::text("saltfo:*")), None);
    }

    #[test]
    fn a_master_that_does_not_know_the_job_is_told_from_one_without_returns() {
        assert!(!Returned::from_value(Value::text("")).is_known());
        assert!(Returned::from_value(Value::Map(vec![])).is_known());
    }

    #[test]
    fn a_minion_may_ask_for_an_outputter() {
        let fields = Value::map([("ret", Value::Map(vec![])), ("out", Value::text("highstate"))]);
        let none = Value::map([("ret", Value::Bool(true))]);
        let returned = Returned::from_value(Value::map([("minion01", fields), ("minion02", none)]));
        let of = |id| returned.outputter(&MinionId::parse(id).unwrap());
        assert_eq!((of("minion01"), of("minion02")), (Some("highstate"), None));
    }

    #[test]
    fn a_return_of_another_minion_is_not_ours() {
        let value = Value::map([("minion02", Value::map([("ret", Value::Bool(true))]))]);
        let returned = Returned::from_value(value);
        assert_eq!(returned.of(&MinionId::parse("minion01").unwrap()), None);
        assert_eq!(
            returned.of(&MinionId::parse("minion02").unwrap()),
            Some(&Value::Bool(true))
        );
    }
}
