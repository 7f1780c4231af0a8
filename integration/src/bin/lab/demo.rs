//! `lab demo`: a master dies, and saltfo tells who has the minion, before and after.

use std::process::{ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use integration::{Lab, Progress, SaltVersion, build_saltfo};

use crate::Out;
use crate::narrator::{Narrator, Run, rounded};

const MINION: &str = "minion01";

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Release of Salt: 3006, 3007 or 3008
    #[arg(long, value_name = "RELEASE", default_value = "3008")]
    salt: SaltVersion,
    /// How long Salt's own failover may take before the minion is restarted
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// How often minions look whether their master is alive (Salt's `master_alive_interval`), in seconds. With the 60
    /// of most installations the demo takes a minute longer, or two with 3006
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    alive_interval: u32,
    /// Text for people, or one JSON document
    #[arg(long, value_enum, default_value_t = Out::Text)]
    out: Out,
}

impl Demo {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        build_saltfo()?;
        let narrator = Arc::new(Narrator::new(self.out));
        let ok = self.play(&narrator)?;
        narrator.end(self.salt.release(), ok)?;
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn play(&self, narrator: &Arc<Narrator>) -> anyhow::Result<bool> {
        let teller = Arc::clone(narrator);
        let lab = Lab::builder()
            .version(self.salt)
            .worker_threads(3)
            .master_alive_interval(self.alive_interval)
            .progress(Progress::new(move |line| teller.say(line)))
            .build()?;
        narrator
            .say("up: the masters salt1 and salt2 of the client Xyz, minion01 on salt1, minion02 on salt2");
        let before = ask(&lab, "salt1.xyz.example")?;
        narrator.ran(&before);

        lab.master("salt1")?.kill()?;
        let killed = Instant::now();
        narrator.say("killed salt1: every process of it, at once");
        self.wait_for_failover(&lab, narrator, killed)?;

        let after = ask(&lab, "salt2.xyz.example")?;
        narrator.ran(&after);
        drop(lab);
        narrator.say("cleaned up: no process, namespace or file is left");
        Ok(before.right && after.right)
    }

    fn wait_for_failover(&self, lab: &Lab, narrator: &Narrator, killed: Instant) -> anyhow::Result<()> {
        // With signed keys Salt 3006 may lose a race between two sign-ins and go back to the dead master. At its
        // next check it tries again, so a bound is needed, and it may be reached.
        let bound = Duration::from_secs(self.wait);
        narrator.say(&format!(
            "waiting for Salt's own failover, at most {} s; {MINION} checks its master every {} s",
            bound.as_secs(),
            self.alive_interval
        ));
        if lab.minion(MINION)?.wait_connected("salt2", bound).is_ok() {
            let took = killed.elapsed().as_secs_f64();
            narrator.say(&format!(
                "{MINION} answers through salt2, {took:.1} s after the kill"
            ));
            return Ok(());
        }
        narrator.say(&format!(
            "Salt {} did not fail over within {} s; restarting {MINION} by hand, as a sidecar would",
            self.salt,
            bound.as_secs()
        ));
        lab.move_minion(MINION, "salt2")?;
        let took = killed.elapsed().as_secs_f64();
        narrator.say(&format!(
            "{MINION} answers through salt2, {took:.1} s after the kill"
        ));
        Ok(())
    }
}

/// Asks saltfo, on the runner, who has the minion.
fn ask(lab: &Lab, right: &str) -> anyhow::Result<Run> {
    let arguments = ["active-master", MINION];
    let start = Instant::now();
    let output = lab
        .saltfo(&arguments)?
        .stdin(Stdio::null())
        .output()
        .context("cannot run saltfo")?;
    let seconds = rounded(start.elapsed());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Run {
        command: format!("saltfo {}", arguments.join(" ")),
        host: "runner".to_owned(),
        right: output.status.success() && text == format!("{right}\n"),
        output: text,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
        exit_code: output.status.code(),
        seconds,
    })
}
