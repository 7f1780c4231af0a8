//! Time that does not pass as it should: a clock that is set, and a sidecar that was not allowed to run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::sidecar::{MASTERS, Sidecar};

/// Longer than any silence that a master is forgiven.
const PAUSE: Duration = Duration::from_secs(5);

/// The time of day jumps ahead and back by days; nothing that is known depends on it.
pub(crate) fn a_clock_that_jumps_changes_nothing(sidecar: &mut Sidecar<'_>) {
    let clock = Clock::new(sidecar);
    sidecar.preloaded = Some(clock.library.clone());
    sidecar.fresh();
    let (log, day) = (sidecar.log(), 86_400);
    for ahead in [10 * day, -10 * day, 0] {
        clock.set(ahead);
        all_is_well_for_two_verifications(sidecar);
        let shown = sidecar.wait_after(Instant::now(), "a report", |_| true);
        // It did look at this clock.
        let said = humantime::parse_rfc3339(&shown.verified_at("salt1")).unwrap();
        let apart = match said.duration_since(std::time::SystemTime::now()) {
            Ok(ahead) => i64::try_from(ahead.as_secs()).unwrap(),
            Err(behind) => -i64::try_from(behind.duration().as_secs()).unwrap(),
        };
        assert!((apart - ahead).abs() < 600, "{ahead}: {shown:?}");
    }
    assert_eq!(sidecar.log(), log, "it has told something");
    sidecar.preloaded = None;
}

/// A host that was suspended, or had no time for us: the masters are not to blame.
pub(crate) fn a_pause_of_its_own_is_nobodys_fault(sidecar: &mut Sidecar<'_>) {
    sidecar.fresh();
    let log = sidecar.log();
    sidecar.pause();
    std::thread::sleep(PAUSE);
    sidecar.go_on();
    all_is_well_for_two_verifications(sidecar);
    assert_eq!(sidecar.log(), log, "it has told something");
}

fn all_is_well_for_two_verifications(sidecar: &mut Sidecar<'_>) {
    for _ in 0..2 {
        let now = Instant::now();
        let before = sidecar.wait_after(now, "a report", |now| now.readyz != 0);
        sidecar.wait_after(now, "the next verification of both", |now| {
            assert!(now.readyz == 0 || now.all_up(), "{now:?}");
            let is_newer = |master: &&str| now.verified_at(master) != before.verified_at(master);
            now.all_up() && MASTERS.iter().all(is_newer)
        });
    }
}

/// The time of day of one process, ahead of ours by what a file says.
struct Clock {
    library: PathBuf,
    file: PathBuf,
}

impl Clock {
    fn new(sidecar: &Sidecar<'_>) -> Self {
        let folder = sidecar.lab.folder();
        let (source, library) = (folder.join("jumps.c"), folder.join("jumps.so"));
        let file = folder.join("jumps");
        fs::write(&file, "0").unwrap();
        let text = "#define _GNU_SOURCE\n\
            #include <dlfcn.h>\n#include <fcntl.h>\n#include <stdlib.h>\n#include <time.h>\n#include <unistd.h>\n\
            int clock_gettime(clockid_t id, struct timespec *now) {\n\
              static int (*real)(clockid_t, struct timespec *);\n\
              if (!real) real = dlsym(RTLD_NEXT, \"clock_gettime\");\n\
              int result = real(id, now);\n\
              if (id != CLOCK_REALTIME) return result;\n\
              char text[32] = {0};\n\
              int file = open(FILE_NAME, O_RDONLY | O_CLOEXEC);\n\
              if (file < 0) return result;\n\
              if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atol(text);\n\
              close(file);\n\
              return result;\n}\n";
        fs::write(&source, text).unwrap();
        let built = Command::new("cc")
            .arg(format!("-DFILE_NAME=\"{}\"", file.display()))
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status();
        assert!(built.unwrap().success());
        Self { library, file }
    }

    fn set(&self, ahead: i64) {
        let aside = self.file.with_extension("aside");
        fs::write(&aside, ahead.to_string()).unwrap();
        fs::rename(aside, &self.file).unwrap();
    }
}
