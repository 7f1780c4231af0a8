//! A project of a GitLab, and its pipelines as `gitlab-ci-local` runs them on the lab's runner.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use integration::{GitlabCiLocal, Lab, Progress};
use serde_json::{Value as Json, json};

/// The file that users include.
pub(crate) const FILE: &str = include_str!("../../../gitlab/saltfo.yml");

/// A git repository with a `.gitlab-ci.yml`.
pub(crate) struct Project<'a> {
    lab: &'a Lab,
    runner: GitlabCiLocal,
    folder: PathBuf,
}

/// How a pipeline ended.
pub(crate) struct Pipeline {
    pub(crate) succeeded: bool,
    /// What the jobs and `gitlab-ci-local` said.
    pub(crate) log: String,
}

impl<'a> Project<'a> {
    /// A project with the file at this place.
    pub(crate) fn new(lab: &'a Lab, name: &str, place: &str, pipeline: &str) -> Self {
        Self::with(lab, name, &[(place, FILE), (".gitlab-ci.yml", pipeline)])
    }

    pub(crate) fn with(lab: &'a Lab, name: &str, files: &[(&str, &str)]) -> Self {
        let folder = lab.folder().join("runner/projects").join(name);
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let project = Self {
            lab,
            runner: GitlabCiLocal::ensure(&Progress::stderr()).unwrap(),
            folder,
        };
        let origin = format!("https://gitlab.example.com/ops/{name}.git");
        project.git(&["init", "--quiet"]);
        project.git(&["remote", "add", "origin", &origin]);
        project.git(&["add", "--all"]);
        project.git(&["commit", "--quiet", "--message", "all"]);
        project
    }

    /// Runs a pipeline with these variables, as a trigger or a schedule sets them. `SALTFO_CONFIG` is a variable of
    /// type File with what `pki-tools pipeline` prints.
    pub(crate) fn pipeline(&self, variables: &[(&str, &str)]) -> Pipeline {
        self.jobs(&[], variables)
    }

    /// Runs these jobs alone.
    pub(crate) fn jobs(&self, jobs: &[&str], variables: &[(&str, &str)]) -> Pipeline {
        let mut command = self.command();
        // Asking the schema takes as long as the rest; `expanded` does.
        command.arg("--no-json-schema-validation").args(jobs);
        for (name, value) in variables {
            command.args(["--variable", &format!("{name}={value}")]);
        }
        Pipeline::of(command)
    }

    /// The configuration after all includes, extends and inputs, as GitLab's schema was asked about it.
    pub(crate) fn expanded(&self) -> Json {
        let pipeline = self.list();
        assert!(pipeline.succeeded, "{}", pipeline.log);
        let output = Command::new(self.lab.salt("runner").python())
            .args([
                "-c",
                "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))",
            ])
            .stdin(fs::File::open(self.folder.join(".gitlab-ci-local/expanded-gitlab-ci.yml")).unwrap())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Reads the configuration, and runs nothing.
    pub(crate) fn list(&self) -> Pipeline {
        let mut command = self.command();
        command.arg("--list-csv-all");
        Pipeline::of(command)
    }

    /// A file that the jobs left as an artifact.
    pub(crate) fn artifact(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(name)).ok()
    }

    pub(crate) fn forget_artifact(&self, name: &str) {
        fs::remove_file(self.folder.join(name)).unwrap();
    }

    fn command(&self) -> Command {
        let home = self.lab.folder().join("runner/home");
        let variables = home.join(".gitlab-ci-local/variables.yml");
        if !variables.exists() {
            fs::create_dir_all(variables.parent().unwrap()).unwrap();
            let variable = json!({"type": "file", "values": {"*": file_variable(self.lab)}});
            // JSON is YAML.
            let all = json!({"global": {"SALTFO_CONFIG": variable}}).to_string();
            fs::write(&variables, all).unwrap();
        }
        // As in GitLab's containers, what is written is for all to read and write.
        let mut command = self.lab.command("runner", "sh");
        command.args(["-c", "umask 0000; cd \"$0\" && exec node \"$@\""]);
        command.arg(&self.folder).arg(self.runner.script());
        command.args(["--force-shell-executor", "--shell-isolation", "--home"]);
        command.arg(&home);
        let saltfo = integration::find_saltfo().unwrap();
        command
            .arg("--variable")
            .arg(format!("SALTFO={}", saltfo.display()));
        let path = std::env::var_os("PATH").unwrap();
        command.env_clear().env("PATH", path).env("HOME", home);
        command
    }

    fn git(&self, arguments: &[&str]) {
        let output = Command::new("git")
            .args(["-c", "user.name=lab", "-c", "user.email=lab@xyz.example"])
            .args(arguments)
            .current_dir(&self.folder)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Pipeline {
    fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        Self {
            succeeded: output.status.success(),
            log: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    pub(crate) fn has_passed(&self, job: &str) -> bool {
        self.log
            .lines()
            .any(|line| line.split_whitespace().eq(["PASS", job]))
    }

    /// Whether this job ended like that: `FAIL 1` with this exit code, `WARN 3` with one that was allowed.
    pub(crate) fn has_ended(&self, job: &str, how: &str) -> bool {
        let mut ends = self.log.lines().filter(|line| line.contains(" finished in "));
        ends.any(|line| line.starts_with(job) && line.trim_end().ends_with(how))
    }
}

/// The value of the file variable: what `pki-tools pipeline` prints.
pub(crate) fn file_variable(lab: &Lab) -> String {
    let output = Command::new(integration::find_pki_tools().unwrap())
        .arg("pipeline")
        .arg(lab.client_file())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The cases of a JUnit report, read by a parser that is not ours: the classname, the name, and what is wrong.
pub(crate) fn cases(report: &str) -> Json {
    const READER: &str = "\
import json, sys, xml.etree.ElementTree as tree
root = tree.fromstring(sys.argv[1].encode())
print(json.dumps([[case.get('classname'), case.get('name'), [child.tag for child in case]] for case in root.iter('testcase')]))
";
    let output = Command::new("python3")
        .args(["-c", READER, report])
        .output()
        .unwrap();
    assert!(output.status.success(), "{report}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A file of the lab that tells that something ran.
pub(crate) fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}
