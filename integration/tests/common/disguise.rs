//! `saltfo` as somebody else: with other keys or anchors than those of the lab.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use integration::Lab;

use super::Run;

/// A folder for the runner with other keys or anchors than those of the lab.
pub(crate) struct Other<'a> {
    lab: &'a Lab,
    folder: PathBuf,
}

impl<'a> Other<'a> {
    pub(crate) fn new(lab: &'a Lab, name: &str) -> Self {
        let folder = lab.folder().join("runner").join(name);
        fs::create_dir_all(folder.join("pki")).unwrap();
        let config = lab.saltfo_config("").unwrap();
        for file in ["saltfo.yaml", "pki/pipeline.pem", "pki/master_sign.pub"] {
            let _ = fs::remove_file(folder.join(file));
            fs::copy(config.parent().unwrap().join(file), folder.join(file)).unwrap();
        }
        Self { lab, folder }
    }

    pub(crate) fn replace(&self, file: &str, text: &str, mode: u32) -> &Self {
        let path = self.folder.join(file);
        let _ = fs::remove_file(&path);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub(crate) fn edit(&self, edit: impl Fn(String) -> String) -> &Self {
        let text = edit(fs::read_to_string(self.folder.join("saltfo.yaml")).unwrap());
        self.replace("saltfo.yaml", &text, 0o600)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.lab.saltfo(arguments).unwrap();
        command.env("SALTFO_CONFIG", self.folder.join("saltfo.yaml"));
        Run::of(command)
    }

    pub(crate) fn locate(&self) -> Run {
        self.run(&["active-master", "minion01", "--out", "json", "--timeout", "2"])
    }
}
