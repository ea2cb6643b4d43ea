//! What is put on the machine for attacks to find.

use crate::person::Person;
use crate::programs::Programs;
use crate::run::run;
use agentbox_probe::{Canary, Facts, Host};
use agentbox_verify::SECRETS;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Everything that was planted.
#[derive(Debug)]
pub struct Planted {
    /// The secret.
    pub canary: String,
    /// The session's project: a git repository with one commit.
    pub project: PathBuf,
    /// Another project of the same person, with an `.env` file.
    pub other_project: PathBuf,
    /// An ordinary file of the person's.
    pub own_file: PathBuf,
    /// The probe, where sessions can execute it.
    pub probe: PathBuf,
    /// Name of the key in the session keyring.
    pub key_name: String,
    /// File with the secret for that key.
    pub key_file: PathBuf,
    secrets: BTreeMap<String, Vec<String>>,
    set_id_program: PathBuf,
    planted_unix_s: u64,
}

impl Planted {
    /// Plants it in the home of this person.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn new(person: &Person, programs: &Programs, private: &Path) -> Result<Self> {
        let planted_unix_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let canary = format!("canary-{}", random_hex()?);
        let home = &person.home;
        let mut secrets: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (class, names) in SECRETS {
            for name in *names {
                let path = home.join(name);
                person.write(&path, format!("secret = {canary}\n").as_bytes(), 0o600)?;
                secrets.entry((*class).to_owned()).or_default().push(path.to_string_lossy().into_owned());
            }
        }
        let other_project = home.join("other");
        person.write(&other_project.join(".env"), format!("KEY={canary}\n").as_bytes(), 0o644)?;
        let own_file = home.join("notes.txt");
        person.write(&own_file, b"notes\n", 0o644)?;

        let project = home.join("project");
        person.make_directory(&project)?;
        let probe = project.join("agentbox-probe");
        person.write(&probe, &fs::read(programs.path("agentbox-probe"))?, 0o755)?;
        person.shell(
            &project,
            "git init --quiet --initial-branch=main .\n\
             printf 'agentbox-probe\\n.planted*\\n' > .gitignore; echo hello > README\n\
             git add . && git -c user.name=Person -c user.email=person@example.org commit --quiet -m first",
        )?;
        // Of root and set-id, as an administrator might leave one; `id` tells whose it became.
        let set_id_program = project.join(".planted-set-id");
        fs::copy("/usr/bin/id", &set_id_program).context("id(1)")?;
        std::os::unix::fs::lchown(&set_id_program, Some(0), Some(0))?;
        fs::set_permissions(&set_id_program, fs::Permissions::from_mode(0o4755))?;

        let key_file = private.join("key");
        fs::write(&key_file, &canary)?;
        Ok(Self {
            canary,
            project,
            other_project,
            own_file,
            probe,
            key_name: format!("agentbox-suite-{}", person.name),
            key_file,
            secrets,
            set_id_program,
            planted_unix_s,
        })
    }

    /// All of it in the probe's words.
    ///
    /// # Errors
    /// When the host cannot be looked at.
    pub fn facts(
        &self,
        person: &Person,
        programs: &Programs,
        secret_names: &[&str],
        tag: &str,
    ) -> Result<Facts> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let secret = self.secrets.values().flatten().next().context("no secret was planted")?;
        let mut command = Command::new(programs.path("agentbox-probe"));
        let handle = run(command.args(["handle", secret]), b"", Duration::from_secs(30))?.success()?;
        Ok(Facts {
            canary: Canary::new(&self.canary),
            planted_unix_s: self.planted_unix_s,
            tag: tag.to_owned(),
            person: agentbox_probe::Person { uid: person.uid, gid: person.gid, home: text(&person.home) },
            project: text(&self.project),
            planted: agentbox_probe::Planted {
                secrets: self.secrets.clone(),
                other_project: Some(text(&self.other_project.join(".env"))),
                own_file: Some(text(&self.own_file)),
                set_id_program: Some(text(&self.set_id_program)),
                agent_socket: None,
                handle: Some(serde_json::from_slice(&handle.stdout)?),
                session_key: Some(self.key_name.clone()),
            },
            victim: None,
            host: Host {
                name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
                namespaces: host_namespaces()?,
                groups: vec![person.gid],
                supervisor_files: Vec::new(),
            },
            secret_names: secret_names.iter().map(|name| (*name).to_owned()).collect(),
            oom_score_adj: Some(200),
            network: None,
            agent: None,
        })
    }
}

fn host_namespaces() -> Result<BTreeMap<String, u64>> {
    ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .into_iter()
        .map(|name| Ok((name.to_owned(), fs::metadata(format!("/proc/self/ns/{name}"))?.ino())))
        .collect()
}

pub(crate) fn random_hex() -> Result<String> {
    let mut bytes = [0; 12];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
