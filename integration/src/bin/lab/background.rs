//! Labs that stay up in the background: `lab up`, `lab down`, `lab list`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use integration::{Lab, LiveLab, Relay, SaltVersion, find_saltfo};

/// What the holding process prints when the lab is up.
const READY: &str = "ready ";
/// How long relays and their minions may take until jobs get through.
const READY_AFTER: Duration = Duration::from_secs(120);

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Release of Salt: 3006, 3007 or 3008
    #[arg(long, value_name = "RELEASE", default_value = "3008")]
    salt: SaltVersion,
    /// Name to find it by, if there are several
    #[arg(long, default_value = "lab")]
    name: String,
    /// Salt's `worker_threads` of each master
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    workers: u32,
    /// Put a relay beside each minion: `saltfo agent`, the minion's only master
    #[arg(long)]
    relay: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Down {
    /// Its name, if there are several
    name: Option<String>,
    /// All labs that run in the background
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

impl Up {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let taken = LiveLab::all()?.iter().any(|lab| lab.name() == self.name);
        ensure!(
            !taken,
            "a lab {} runs already: `lab down {0}`, or choose another --name",
            self.name
        );
        let (output, input) = std::io::pipe()?;
        // In a session of its own it outlives this terminal.
        let status = Command::new("setsid")
            .arg("--fork")
            .arg(std::env::current_exe()?)
            .args(["hold", "--salt", self.salt.series(), "--name", &self.name])
            .args(["--workers", &self.workers.to_string()])
            .args(self.relay.then_some("--relay"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(input.try_clone()?)
            .stderr(input)
            .status()
            .context("cannot run setsid (Debian: apt install util-linux)")?;
        ensure!(status.success(), "setsid could not start the lab ({status})");
        for line in BufReader::new(output).lines() {
            let line = line?;
            if line.starts_with(READY) {
                self.tell();
                return Ok(());
            }
            eprintln!("{line}");
        }
        bail!("the lab did not come up")
    }

    /// The process in the background. It ends by a signal, or with its lab.
    pub(crate) fn hold(&self) -> anyhow::Result<()> {
        let mut builder = Lab::builder()
            .version(self.salt)
            .name(&self.name)
            .worker_threads(self.workers)
            .background();
        if self.relay {
            builder = builder.relay();
        }
        let lab = builder.build()?;
        let _relays = if self.relay { relays(&lab)? } else { Vec::new() };
        println!("{READY}{}", lab.name());
        // Nobody reads from here on.
        while lab.is_alive()? {
            std::thread::sleep(Duration::from_secs(1));
        }
        Ok(())
    }

    fn tell(&self) {
        let Self { name, salt, .. } = self;
        let option = if name == "lab" {
            String::new()
        } else {
            format!(" --lab {name}")
        };
        let minions = if self.relay {
            "minion01 and minion02 behind a relay each"
        } else {
            "minion01 on salt1, minion02 on salt2"
        };
        let status = if self.relay {
            format!("lab exec{option} minion01 saltfo status\n  ")
        } else {
            String::new()
        };
        println!(
            "The lab {name} is up: salt {salt}, masters salt1 and salt2, {minions}.\n\n  {status}\
             lab status{option}\n  \
             lab enter{option} runner\n  \
             lab exec{option} runner saltfo active-master minion01\n  \
             lab exec{option} salt1 salt minion01 test.ping\n  \
             lab fault{option} kill salt1\n  \
             lab down {name}"
        );
    }
}

impl Down {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let labs: Vec<LiveLab> = LiveLab::all()?
            .into_iter()
            .filter(LiveLab::is_background)
            .collect();
        let chosen = if self.all {
            labs
        } else {
            vec![choose(labs, self.name.as_deref())?]
        };
        for lab in chosen {
            let name = lab.name().to_owned();
            lab.end()?;
            println!("The lab {name} is gone.");
        }
        Ok(())
    }
}

/// A relay beside each minion, and jobs get through.
fn relays(lab: &Lab) -> anyhow::Result<Vec<Relay<'_>>> {
    let saltfo = find_saltfo()?;
    let minions = &lab.settings().minions;
    let mut relays = Vec::new();
    for minion in minions {
        lab.relay_config(minion, "")?;
        relays.push(lab.start_relay(minion, &saltfo)?);
    }
    for relay in &mut relays {
        relay.settled(READY_AFTER)?;
    }
    Ok(relays)
}

/// The lab of this name, or the only one.
pub(crate) fn choose(mut labs: Vec<LiveLab>, name: Option<&str>) -> anyhow::Result<LiveLab> {
    if let Some(name) = name {
        let lab = labs.into_iter().find(|lab| lab.name() == name);
        return lab.with_context(|| format!("no lab {name} runs; see `lab list`"));
    }
    match (labs.pop(), labs.is_empty()) {
        (Some(lab), true) => Ok(lab),
        (None, _) => bail!("no lab runs; start one with `lab up`"),
        (Some(_), false) => bail!("several labs run; say which one, see `lab list`"),
    }
}

/// Prints the labs that live.
pub(crate) fn list() -> anyhow::Result<()> {
    for lab in LiveLab::all()? {
        let kind = if lab.is_background() {
            "background"
        } else {
            "foreground"
        };
        println!(
            "{:10} {kind}  process {:7}  {}",
            lab.name(),
            lab.owner(),
            lab.folder.display()
        );
    }
    Ok(())
}
