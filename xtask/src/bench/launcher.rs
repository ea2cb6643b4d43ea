//! The launcher alone: the plan of a real session, put into force again and again without supervisor.

use crate::demo::{Place, Sessions};
use agentbox_kernel::cgroup::Hierarchy;
use agentbox_kernel::{console, launcher};
use agentbox_plan::console::{Client, Hello, ToConsole};
use agentbox_plan::{Confinement, InnerPath, Mount, Plan, SessionId, Streams, Wire as _};
use anyhow::{Context as _, Result, bail, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The plan of a session, and where on the host its sources come from.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) plan: Plan,
    program: PathBuf,
    directory: PathBuf,
    /// Of the session: what only it has lies there.
    session: PathBuf,
    runs: std::cell::Cell<u32>,
}

impl Recording {
    /// Starts a session at L2 that stays, and reads its plan. The session keeps the supervisor alive.
    pub(super) fn make(place: &Place, sessions: &Sessions) -> Result<Self> {
        sessions.stay(&["--posture", "L2", "--network", "none"])?;
        let all = place.of("RUNTIME_DIRECTORY").join("sessions");
        let session = std::fs::read_dir(&all)
            .with_context(|| format!("cannot list {}", all.display()))?
            .next()
            .context("the session has no directory")??;
        let bytes = std::fs::read(session.path().join("plan")).context("the session has no plan")?;
        let mut plan = Plan::from_bytes(&bytes).context("the plan cannot be read")?;
        plan.process.arguments = vec![c"/usr/bin/true".to_owned()];
        plan.process.streams = Streams::PIPES;
        Ok(Self {
            plan,
            program: place.program("agentbox-launch"),
            directory: place.directory().to_owned(),
            session: session.path(),
            runs: std::cell::Cell::new(0),
        })
    }

    /// Where on the host is what appears at a path of the session: at L2 at the same path, but for what the
    /// supervisor writes for it.
    pub(super) fn on_host(&self, target: &InnerPath) -> PathBuf {
        let path = Path::new(OsStr::from_bytes(target.as_bytes()));
        match path.strip_prefix("/run/agentbox") {
            Ok(own) if !path.exists() => self.session.join(own),
            _ => path.to_owned(),
        }
    }

    /// Opens what the plan binds.
    fn sources(&self) -> Result<Vec<OwnedFd>> {
        let Confinement::Sandbox { sandbox } = &self.plan.confinement else { bail!("no sandbox") };
        let mut paths: Vec<Option<&InnerPath>> = Vec::new();
        for mount in &sandbox.mounts {
            let (Mount::Bind { source, target, .. } | Mount::Device { source, target }) = mount else {
                continue;
            };
            let index = usize::from(source.index);
            if paths.len() <= index {
                paths.resize(index + 1, None);
            }
            paths[index] = Some(target);
        }
        let open = |path: Option<&InnerPath>| {
            let path = path.map_or_else(|| PathBuf::from("/dev/null"), |path| self.on_host(path));
            rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
                .with_context(|| format!("cannot open {}", path.display()))
        };
        paths.into_iter().map(open).collect()
    }

    /// Runs it once; the time from the spawn to the end of the launcher.
    pub(super) fn once(&self) -> Result<Duration> {
        let run = self.runs.replace(self.runs.get() + 1);
        let id: SessionId = format!("bench{run}").parse()?;
        let directory = self.directory.join(id.as_str());
        std::fs::create_dir(&directory)?;
        let opened = rustix::fs::open(&directory, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let group = Hierarchy::find()?.create(&id)?;
        let program = rustix::fs::open(&self.program, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let (release, go) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (report, _reports) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let plan = Plan { session: id, ..self.plan.clone() }.to_bytes();
        let spawn = launcher::Spawn {
            program: &program,
            plan: &plan,
            console: console::listen(&opened)?,
            release,
            report,
            network: None,
            payload: group.payload.try_clone()?,
            sources: self.sources()?,
            supervise_group: &group.supervise,
            environment: Vec::new(),
        };
        // Somebody to take the output, as there is in a real start; without, the end of it is waited for.
        let hello =
            Hello::Attach { client: Client { streams: Streams::PIPES, size: self.plan.process.size } };
        let hello = ToConsole::Hello(hello).to_frame().encode();
        let begun = Instant::now();
        let launched = launcher::spawn(spawn)?;
        let client = console::connect(&opened)?;
        rustix::io::write(&client, &hello)?;
        rustix::io::write(&go, &[1])?;
        let mut ended = [rustix::event::PollFd::new(&launched.pidfd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut ended, None)?;
        let took = begun.elapsed();
        let status = launched.try_wait()?;
        group.wait_empty(Duration::from_secs(5))?;
        group.remove()?;
        ensure!(status == Some(launcher::Ended::Code(0)), "the launcher ended with {status:?}");
        Ok(took)
    }
}

#[cfg(test)]
impl Recording {
    /// A plan that no session had.
    pub(super) fn imaginary(plan: Plan) -> Self {
        let nowhere = PathBuf::from("/nonexistent");
        Self {
            plan,
            program: nowhere.clone(),
            directory: nowhere.clone(),
            session: nowhere,
            runs: std::cell::Cell::new(0),
        }
    }
}
