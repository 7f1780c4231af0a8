//! `gitlab/saltfo.yml` in pipelines, against real masters: `gitlab-ci-local` runs its jobs on the lab's runner, and asks
//! GitLab's schema about it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod project;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use integration::{Lab, SaltVersion};
use project::{FILE, Project, cases, lines};
use serde_json::json;

/// Included as a user would, with a job that comes later.
const INCLUDED: &str = "\
include:
  - local: gitlab/saltfo.yml
stages: [deploy, after]
after:
  stage: after
  script:
    - echo \"minion $SALTFO_MINION on $SALTFO_ACTIVE_MASTER at $SALTFO_ACTIVE_MASTER_ADDRESS\"
";

/// One lab per release: bringing it up takes longer than asking.
#[test]
fn pipelines_dispatch_and_tell_what_happened() {
    for version in SaltVersion::tested().unwrap() {
        eprintln!("== salt {version}");
        let lab = Lab::builder().version(version).worker_threads(3).build().unwrap();
        write_states(&lab);
        let project = Project::new(&lab, "app", "gitlab/saltfo.yml", INCLUDED);
        nothing_runs_unless_the_variables_ask_for_it(&project);
        a_state_with_changes_succeeds_and_the_active_master_is_passed_on(&lab, &project);
        a_false_state_fails_the_job_and_leaves_its_report(&project);
        what_a_shell_would_run_is_not_run(&lab, &project);
        a_minion_that_is_nowhere_may_be_allowed_to_fail(&lab);
        hidden_jobs_are_extended_for_several_minions(&lab);
        a_user_who_does_not_own_the_file_takes_a_copy(&lab, &project);
        as_a_component_its_inputs_count(&lab);
        only_what_was_not_sent_is_repeated(&project);
        the_schema_is_really_asked(&lab);
        no_master_is_an_exit_code_of_its_own(&lab, &project);
    }
}

fn write_states(lab: &Lab) {
    let states = [
        (
            "good",
            "line:\n  cmd.run:\n    - name: echo line >> {{ pillar['file'] }}\n",
        ),
        ("bad", "broken:\n  cmd.run:\n    - name: 'false'\n"),
    ];
    for (name, text) in states {
        fs::write(lab.file_root().join(format!("{name}.sls")), text).unwrap();
    }
}

/// As pipelines pass it: one word.
fn word(line: &str) -> String {
    BASE64_STANDARD.encode(line)
}

fn nothing_runs_unless_the_variables_ask_for_it(project: &Project<'_>) {
    let pipeline = project.pipeline(&[]);
    assert!(pipeline.succeeded, "{}", pipeline.log);
    assert!(pipeline.has_passed("after"), "{}", pipeline.log);
    assert!(!pipeline.log.contains("saltfo:"), "{}", pipeline.log);
}

fn a_state_with_changes_succeeds_and_the_active_master_is_passed_on(lab: &Lab, project: &Project<'_>) {
    let file = lab.folder().join("changed");
    let command = word(&format!("state.apply good 'pillar={{file: {}}}'", file.display()));
    let pipeline = project.pipeline(&[("SALT_MINION", "minion02"), ("SALT_CMD", &command)]);
    let log = &pipeline.log;
    assert!(pipeline.succeeded, "{log}");
    for job in ["saltfo:active-master", "saltfo:run", "after"] {
        assert!(pipeline.has_passed(job), "{log}");
    }
    assert!(
        log.contains("minion minion02 on salt2.xyz.example at 10.0.0.12"),
        "{log}"
    );
    assert!(log.contains("minion02: state.apply: succeeded"), "{log}");
    assert!(log.contains("Succeeded:") && log.contains("changed="), "{log}");
    assert_eq!(lines(&file), 1);
    let report = project.artifact("saltfo-junit.xml").unwrap();
    let name = format!("line (cmd.run echo line >> {})", file.display());
    assert_eq!(cases(&report), json!([["good", name, ["system-out"]]]));
    project.forget_artifact("saltfo-junit.xml");
}

fn a_false_state_fails_the_job_and_leaves_its_report(project: &Project<'_>) {
    let command = word("state.apply bad");
    let pipeline = project.pipeline(&[("SALT_MINION", "minion01"), ("SALT_CMD", &command)]);
    let log = &pipeline.log;
    assert!(!pipeline.succeeded, "{log}");
    assert!(!pipeline.has_passed("after"), "{log}");
    assert!(pipeline.has_ended("saltfo:run", "FAIL 1"), "{log}");
    assert!(pipeline.has_passed("saltfo:active-master"), "{log}");
    let report = project.artifact("saltfo-junit.xml").unwrap();
    assert_eq!(
        cases(&report),
        json!([["bad", "broken (cmd.run false)", ["failure"]]])
    );
    project.forget_artifact("saltfo-junit.xml");
}

fn what_a_shell_would_run_is_not_run(lab: &Lab, project: &Project<'_>) {
    let trap = lab.folder().join("trap");
    let touch = format!("touch {}", trap.display());
    // In base64: the minion gets the characters.
    let evil = format!("$({touch}); `{touch}` & {touch} | \" > $HOME \\ *");
    let command = word(&format!("test.arg '{evil}'"));
    let pipeline = project.pipeline(&[("SALT_MINION", "minion01"), ("SALT_CMD", &command)]);
    assert!(pipeline.succeeded, "{}", pipeline.log);
    assert!(pipeline.log.contains(&evil), "{evil} is not in {}", pipeline.log);
    // As they are: saltfo refuses the words, and no shell reads them.
    let substitution = format!("$({touch})");
    let sequence = format!("x; {touch}");
    let closing = format!("\"; {touch}; \"");
    let ping = word("test.ping");
    for (name, value, how) in [
        ("SALT_CMD", substitution.as_str(), "FAIL 2"),
        ("SALT_CMD", &closing, "FAIL 2"),
        ("SALT_CMD", "--jid=20200101000000000000", "FAIL 2"),
        ("SALT_MINION", &substitution, "FAIL 2"),
        ("SALT_MINION", &sequence, "FAIL 2"),
        // A minion of that name does not exist: the option of that name is not meant.
        ("SALT_MINION", "--version", "FAIL 3"),
        ("SALT_TIMEOUT", &sequence, "FAIL 2"),
    ] {
        let mut variables = vec![("SALT_MINION", "minion01"), ("SALT_CMD", ping.as_str())];
        variables.push((name, value));
        let pipeline = project.jobs(&["saltfo:run"], &variables);
        assert!(
            pipeline.has_ended("saltfo:run", how),
            "{name}={value}: {}",
            pipeline.log
        );
    }
    assert!(!trap.exists());
    assert!(project.artifact("saltfo-junit.xml").is_some());
    project.forget_artifact("saltfo-junit.xml");
}

fn a_minion_that_is_nowhere_may_be_allowed_to_fail(lab: &Lab) {
    let pipeline = format!(
        "{INCLUDED}\
saltfo:active-master: {{allow_failure: true}}
saltfo:run:
  allow_failure:
    exit_codes: [3, 4]
"
    );
    let project = Project::new(lab, "allowed", "gitlab/saltfo.yml", &pipeline);
    let command = word("test.ping");
    let nowhere = project.pipeline(&[("SALT_MINION", "minion09"), ("SALT_CMD", &command)]);
    assert!(nowhere.succeeded, "{}", nowhere.log);
    assert!(nowhere.has_ended("saltfo:run", "WARN 3"), "{}", nowhere.log);
    assert!(nowhere.has_passed("after"), "{}", nowhere.log);
    // Another exit code is not allowed. (gitlab-ci-local knows that of the job, and lets the pipeline go on.)
    let failing = word("state.apply bad");
    let variables = [("SALT_MINION", "minion01"), ("SALT_CMD", failing.as_str())];
    let failed = project.jobs(&["saltfo:run"], &variables);
    assert!(failed.has_ended("saltfo:run", "FAIL 1"), "{}", failed.log);
}

/// The command is made in the pipeline, and comes to both jobs by a dotenv report.
fn hidden_jobs_are_extended_for_several_minions(lab: &Lab) {
    const PIPELINE: &str = r#"
include: [{local: gitlab/saltfo.yml}]
command:
  stage: build
  script:
    - |
      line="state.apply good pillar='{\"file\": \"$FILE\"}'"
      echo "SALT_CMD=$(printf %s "$line" | base64 -w0)" > cmd.env
  artifacts: {reports: {dotenv: cmd.env}}
one: {extends: '.saltfo:run', variables: {SALT_MINION: minion01}}
two: {extends: '.saltfo:run', variables: {SALT_MINION: minion02}}
"#;
    let file = lab.folder().join("several");
    let project = Project::new(lab, "several", "gitlab/saltfo.yml", PIPELINE);
    let pipeline = project.pipeline(&[("FILE", file.to_str().unwrap())]);
    assert!(pipeline.succeeded, "{}", pipeline.log);
    for job in ["one", "two"] {
        assert!(pipeline.has_passed(job), "{}", pipeline.log);
    }
    assert_eq!(lines(&file), 2);
}

/// In an image whose user is not root, the file variable is root's. And its shell may be no bash.
fn a_user_who_does_not_own_the_file_takes_a_copy(lab: &Lab, project: &Project<'_>) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("   only root can be somebody else: not tried");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let open = |path: &std::path::Path| fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    open(folder.path());
    let saltfo = at("saltfo");
    fs::copy(integration::find_saltfo().unwrap(), &saltfo).unwrap();
    let config = at("SALTFO_CONFIG");
    fs::write(&config, project::file_variable(lab)).unwrap();
    fs::set_permissions(&config, Permissions::from_mode(0o666)).unwrap();
    let job = &project.expanded()["saltfo:active-master"];
    let lines = job["script"].as_array().unwrap().iter();
    let script: Vec<&str> = lines.map(|line| line.as_str().unwrap()).collect();
    let script = format!("cd \"$0\"\n{}\n", script.join("\n"));
    let mut shell = lab.command("runner", "setpriv");
    shell.args(["--reuid=65534", "--regid=65534", "--clear-groups", "dash", "-ec"]);
    shell.arg(script).arg(folder.path());
    shell.env("SALTFO", &saltfo).env("SALTFO_CONFIG", &config);
    shell.env("SALT_MINION", "minion01").env("TMPDIR", folder.path());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"salt1.xyz.example\n", "{output:?}");
    let dotenv = fs::read_to_string(at("saltfo.env")).unwrap();
    assert!(
        dotenv.contains("SALTFO_ACTIVE_MASTER=salt1.xyz.example"),
        "{dotenv}"
    );
}

fn as_a_component_its_inputs_count(lab: &Lab) {
    let pipeline = "\
include:
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/saltfo@$CI_COMMIT_SHA
    inputs: {prefix: rollout, stage: test, timeout: 1, job_timeout: 2h, retries: 0, options: --on-cancel kill}
";
    let project = Project::new(lab, "saltfo", "templates/saltfo.yml", pipeline);
    let expanded = project.expanded();
    assert_eq!(expanded["rollout:run"]["stage"], "test");
    assert_eq!(expanded["rollout:run"]["timeout"], "2h");
    assert_eq!(expanded["rollout:run"]["retry"]["max"], 0);
    assert!(expanded["saltfo:run"].is_null());
    // A timeout of one second is not enough, unless the variable gives more.
    let command = word("test.sleep 3");
    let variables = [("SALT_MINION", "minion01"), ("SALT_CMD", command.as_str())];
    let late = project.jobs(&["rollout:run"], &variables);
    assert!(late.has_ended("rollout:run", "FAIL 7"), "{}", late.log);
    assert!(
        late.log.contains("look again with: saltfo run --jid "),
        "{}",
        late.log
    );
    let report = project.artifact("saltfo-junit.xml").unwrap();
    assert_eq!(cases(&report), json!([["test", "test.sleep", ["error"]]]));
    let patient = project.jobs(
        &["rollout:run"],
        &[variables[0], variables[1], ("SALT_TIMEOUT", "60")],
    );
    assert!(patient.has_passed("rollout:run"), "{}", patient.log);
}

/// `gitlab-ci-local` neither repeats jobs nor knows resource groups: so far as it goes, what GitLab will read.
fn only_what_was_not_sent_is_repeated(project: &Project<'_>) {
    let expanded = project.expanded();
    for job in ["saltfo:run", "saltfo:active-master"] {
        // A `when` would be another reason, whatever the exit code.
        assert_eq!(expanded[job]["retry"], json!({"max": 2, "exit_codes": [3, 4]}));
    }
    assert_eq!(expanded["saltfo:run"]["interruptible"], false);
    assert_eq!(expanded["saltfo:run"]["resource_group"], "saltfo/$SALT_MINION");
    assert_eq!(
        expanded["saltfo:run"]["artifacts"],
        json!({
            "when": "always",
            "access": "developer",
            "paths": ["saltfo-junit.xml"],
            "reports": {"junit": "saltfo-junit.xml"}
        })
    );
}

fn the_schema_is_really_asked(lab: &Lab) {
    for (good, bad) in [
        ("exit_codes: [3, 4]", "exit_codes: [3, four]"),
        ("resource_group: saltfo/$SALT_MINION", "resource_group: [1]"),
    ] {
        let file = FILE.replace(good, bad);
        assert_ne!(file, FILE);
        let files = [("gitlab/saltfo.yml", file.as_str()), (".gitlab-ci.yml", INCLUDED)];
        let pipeline = Project::with(lab, "invalid", &files).list();
        assert!(!pipeline.succeeded, "{bad}: {}", pipeline.log);
        assert!(
            pipeline.log.contains("Invalid .gitlab-ci.yml configuration!"),
            "{bad}: {}",
            pipeline.log
        );
        fs::remove_dir_all(lab.folder().join("runner/projects/invalid")).unwrap();
    }
}

fn no_master_is_an_exit_code_of_its_own(lab: &Lab, project: &Project<'_>) {
    for master in ["salt1", "salt2"] {
        lab.master(master).unwrap().kill().unwrap();
    }
    let command = word("test.ping");
    let pipeline = project.pipeline(&[("SALT_MINION", "minion01"), ("SALT_CMD", &command)]);
    for job in ["saltfo:run", "saltfo:active-master"] {
        assert!(pipeline.has_ended(job, "FAIL 4"), "{}", pipeline.log);
    }
    assert!(!pipeline.succeeded);
}
