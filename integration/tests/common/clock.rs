//! A clock that lies to one process: the time of day is the C library's, and that can be asked to lie.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The time of day of a process, ahead of ours by what a file says.
pub(crate) struct Clock {
    /// For `LD_PRELOAD`.
    pub(crate) preload: PathBuf,
    file: PathBuf,
}

impl Clock {
    /// Right until it is set. What it needs is put into this folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let (source, preload) = (folder.join("clock.c"), folder.join("clock.so"));
        let file = folder.join("clock");
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
            .args([&preload, &source])
            .arg("-ldl")
            .status();
        assert!(built.unwrap().success());
        Self { preload, file }
    }

    /// So many seconds ahead of ours, from now on.
    pub(crate) fn set(&self, ahead: i64) {
        let aside = self.file.with_extension("aside");
        fs::write(&aside, ahead.to_string()).unwrap();
        fs::rename(aside, &self.file).unwrap();
    }
}
