//! The file system of a session as it is built up: one step for each path, parents before children.

use super::items::{Item, Role, own_path};
use super::{Facts, Found, WantedKind, inner, owners};
use crate::paths::{is_below, is_within};
use crate::places::{Base, credentials};
use crate::text::printable;
use crate::{Policy, PolicyError, Workspace};
use agentbox_plan::look::{HeldPlace, Hiding};
use agentbox_plan::wire::Bytes;
use agentbox_plan::{Access, InnerPath, Mount, Owner, SourceIndex};
use std::collections::BTreeMap;
use std::ffi::CString;

/// All that a tree is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) policy: &'a Policy,
    pub(super) facts: &'a Facts,
    pub(super) base: &'a Base,
    pub(super) items: &'a [Item],
}

/// The source of the project's directory.
const PROJECT: SourceIndex = SourceIndex { index: 0 };

impl<'a> Scene<'a> {
    /// Every item with what was found there and its source.
    pub(super) fn found(&self) -> impl Iterator<Item = (&'a Item, &'a Found, SourceIndex)> + use<'a> {
        let both = self.items.iter().zip(&self.facts.found);
        // Items are at most a few hundred; a source that cannot be counted is one that is not there.
        both.zip(1u16..).map(|((item, found), index)| (item, found, SourceIndex { index }))
    }
}

impl Scene<'_> {
    /// Whether a path lies in a directory that the session has for itself by now.
    pub(super) fn replaced(&self, tree: &Tree, path: &str) -> bool {
        self.base.private.iter().any(|private| is_within(path, private) && tree.has(private))
    }
}

/// Files of a tmpfs of that size: one for 4 KiB, within reason.
pub(super) fn inodes(size_bytes: u64) -> u64 {
    (size_bytes / 4096).clamp(1024, 1 << 20)
}

/// The file system so far.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// In the order of bytes, in which a directory comes before what is in it.
    steps: BTreeMap<InnerPath, Mount>,
    /// Targets of which something else may not be below: files and links, by what put them there.
    leaves: BTreeMap<InnerPath, String>,
}

impl Tree {
    /// Adds a step in place of one with the same target.
    pub(super) fn put(&mut self, step: Mount) {
        self.leaves.remove(step.target());
        self.steps.insert(step.target().clone(), step);
    }

    /// Whether nothing but the host's root is around a path.
    pub(super) fn is_hosts(&self, path: &str) -> bool {
        let Ok(path) = InnerPath::new(path) else { return false };
        let around = self.steps.keys().rev().find(|target| path.is_within(target));
        around.is_some_and(InnerPath::is_root)
    }

    /// A file of the session, read-only.
    pub(super) fn file(&mut self, source: SourceIndex, path: &str, origin: &str) -> Result<(), PolicyError> {
        let target = inner(path)?;
        let access = Access::ReadOnly;
        self.put(Mount::Bind { source, target: target.clone(), access, recursive: false, idmap: None });
        self.leaves.insert(target, origin.to_owned());
        Ok(())
    }

    /// Whether there is a step with this target.
    pub(super) fn has(&self, path: &str) -> bool {
        self.step(path).is_some()
    }

    /// The step with this target.
    pub(super) fn step(&self, path: &str) -> Option<&Mount> {
        self.steps.get(&InnerPath::new(path).ok()?)
    }

    pub(super) fn tmpfs(
        &mut self,
        path: &str,
        mode: u32,
        size: u64,
        owner: Owner,
        exec: bool,
    ) -> Result<(), PolicyError> {
        let target = inner(path)?;
        self.put(Mount::Tmpfs { target, mode, size_bytes: size, inodes: inodes(size), owner, exec });
        Ok(())
    }

    pub(super) fn symlink(&mut self, path: &str, to: &str) -> Result<(), PolicyError> {
        let path = inner(path)?;
        let to = CString::new(to)
            .map_err(|_| PolicyError::Invalid { what: "a link with a NUL byte".to_owned() })?;
        self.put(Mount::Symlink { path: path.clone(), to });
        self.leaves.insert(path, "a symbolic link".to_owned());
        Ok(())
    }

    /// A place that is shown as it is, when it is there.
    pub(super) fn show(
        &mut self,
        item: &Item,
        found: &Found,
        source: SourceIndex,
    ) -> Result<(), PolicyError> {
        let path = &item.wanted.path;
        match found {
            Found::Symlink(to) => return self.symlink(path, to),
            Found::Directory | Found::File => {
                let target = inner(path)?;
                let access = Access::ReadOnly;
                self.put(Mount::Bind {
                    source,
                    target: target.clone(),
                    access,
                    recursive: true,
                    idmap: None,
                });
                if *found == Found::File {
                    self.leaves.insert(target, item.wanted.origin.clone());
                }
            }
            Found::Missing | Found::CharDevice => {}
        }
        Ok(())
    }

    /// /dev: a few devices, terminals of its own, shared memory of its own.
    pub(super) fn devices(&mut self, scene: &Scene<'_>) -> Result<(), PolicyError> {
        self.tmpfs("/dev", 0o755, 1 << 20, Owner::Root, false)?;
        for (item, found, source) in scene.found().filter(|(item, _, _)| item.role == Role::Device) {
            match found {
                Found::CharDevice => self.put(Mount::Device { source, target: inner(&item.wanted.path)? }),
                _ if item.wanted.optional => {}
                _ => {
                    return Err(missing(
                        item,
                        "it is not there or no character device",
                        "make it (mknod(1))",
                    ));
                }
            }
        }
        self.put(Mount::DevPts { target: inner("/dev/pts")? });
        self.put(Mount::MessageQueues { target: inner("/dev/mqueue")? });
        self.tmpfs("/dev/shm", 0o1777, tmp_size(scene.policy), Owner::Root, false)?;
        let links = [
            ("/dev/ptmx", "pts/ptmx"),
            ("/dev/fd", "/proc/self/fd"),
            ("/dev/stdin", "/proc/self/fd/0"),
            ("/dev/stdout", "/proc/self/fd/1"),
            ("/dev/stderr", "/proc/self/fd/2"),
        ];
        links.into_iter().try_for_each(|(path, to)| self.symlink(path, to))
    }

    /// /proc of its own, without what tells of the host.
    pub(super) fn proc(&mut self, base: &Base) -> Result<(), PolicyError> {
        self.put(Mount::Proc { target: inner("/proc")? });
        for path in &base.proc_hidden {
            self.put(Mount::Mask { target: inner(path)? });
        }
        for path in &base.proc_readonly {
            self.put(Mount::ReadOnly { target: inner(path)? });
        }
        Ok(())
    }

    /// An empty directory for every session, in place of the host's.
    pub(super) fn private(&mut self, path: &str, policy: &Policy) -> Result<(), PolicyError> {
        match path {
            "/run" => self.tmpfs(path, 0o755, 16 << 20, Owner::Root, false),
            _ => self.tmpfs(path, 0o1777, tmp_size(policy), Owner::Root, true),
        }
    }

    /// What profile, project and preset grant.
    pub(super) fn grants(&mut self, scene: &Scene<'_>) -> Result<(), PolicyError> {
        let policy = scene.policy;
        for (item, found, source) in scene.found() {
            let Role::Grant(at) = item.role else { continue };
            let grant = &policy.grants[at];
            // What every session sees anyhow; below a link of it nothing can be mounted.
            let shown = !grant.write && scene.base.shows(&grant.path);
            // A preset does not make part of a project read-only.
            if shown || (grant.preset && is_within(&grant.path, &policy.place.path)) {
                continue;
            }
            match found {
                Found::Directory | Found::File => {
                    let target = inner(&grant.path)?;
                    let (access, idmap) = match grant.write {
                        true => (Access::ReadWrite, owners::person_map(policy)),
                        false => (Access::ReadOnly, owners::reading_map(policy)),
                    };
                    self.put(Mount::Bind { source, target: target.clone(), access, recursive: false, idmap });
                    if *found == Found::File {
                        self.leaves.insert(target, grant.origin.clone());
                    }
                }
                Found::Symlink(to) if grant.preset => self.symlink(&grant.path, to)?,
                Found::Symlink(to) => {
                    let remedy = format!("grant what it points to: `{}`", printable(to));
                    return Err(missing(item, "it is a symbolic link", &remedy));
                }
                Found::CharDevice => return Err(missing(item, "it is a device", "remove it")),
                Found::Missing if item.wanted.optional => {}
                Found::Missing => {
                    return Err(missing(
                        item,
                        "it is not there, or not yours",
                        "make it (mkdir -p), or remove it",
                    ));
                }
            }
        }
        Ok(())
    }

    /// What is kept of the agent's own directories.
    pub(super) fn volumes(&mut self, scene: &Scene<'_>) -> Result<(), PolicyError> {
        for (item, found, source) in scene.found() {
            let Role::Volume(at) = item.role else { continue };
            if *found != Found::Directory {
                return Err(missing(
                    item,
                    "the supervisor has no directory for it",
                    "look at agentboxctl doctor",
                ));
            }
            let target = inner(&scene.policy.kept[at].value.path)?;
            let idmap = owners::person_map(scene.policy);
            self.put(Mount::Bind { source, target, access: Access::ReadWrite, recursive: false, idmap });
        }
        Ok(())
    }

    /// The agent's own directories, and the files in them and elsewhere that say how it behaves.
    pub(super) fn own(&mut self, scene: &Scene<'_>) -> Result<(), PolicyError> {
        for (item, _, source) in scene.found() {
            let (Role::Own(at), WantedKind::Own { size_bytes, .. }) = (&item.role, &item.wanted.what) else {
                continue;
            };
            let target = inner(&own_path(scene.policy, *at))?;
            self.put(Mount::Own { source, target, size_bytes: *size_bytes });
        }
        for (item, found, source) in scene.found() {
            let Role::Setting(at) = item.role else { continue };
            super::names::made(item, found)?;
            self.file(source, &scene.policy.rendered[at].path, &item.wanted.origin)?;
        }
        for (item, found, source) in scene.found() {
            let Role::Pinned(at) = item.role else { continue };
            let path = &scene.policy.pins[at].inside;
            match found {
                Found::File => self.file(source, path, &item.wanted.origin)?,
                Found::Directory => {
                    let (target, access) = (inner(path)?, Access::ReadOnly);
                    self.put(Mount::Bind { source, target, access, recursive: false, idmap: None });
                }
                _ => {
                    return Err(missing(
                        item,
                        "it is neither a file nor a directory",
                        "take it out of the profile",
                    ));
                }
            }
        }
        for (item, found, source) in scene.found() {
            let Role::Secret(at) = item.role else { continue };
            super::names::made(item, found)?;
            if let Some(path) = scene.policy.secrets[at].path_inside() {
                self.file(source, &path, &item.wanted.origin)?;
            }
        }
        for file in scene.policy.rendered.iter().filter(|file| file.seed) {
            let (path, content) = (inner(&file.path)?, Bytes(file.content.clone().into_bytes()));
            self.put(Mount::File { path, mode: 0o600, owner: Owner::Agent, content });
        }
        Ok(())
    }

    /// The agent's own directories in a home that cannot be written: each must be there to be replaced.
    pub(super) fn own_on_host(&mut self, scene: &Scene<'_>) -> Result<(), PolicyError> {
        for (item, found, _) in scene.found() {
            let Role::OwnOnHost(_) = item.role else { continue };
            if *found != Found::Directory {
                let remedy =
                    format!("make it (mkdir -p '{}'), or use posture L2", printable(&item.wanted.path));
                return Err(missing(
                    item,
                    "it is no directory, and filesystem `shared` cannot make it",
                    &remedy,
                ));
            }
        }
        Ok(())
    }

    /// The project, at its real path.
    pub(super) fn project(&mut self, scene: &Scene<'_>) -> Result<(), PolicyError> {
        let policy = scene.policy;
        let target = inner(&policy.place.path)?;
        let (access, idmap) = match policy.workspace() {
            Workspace::Readonly => (Access::ReadOnly, owners::reading_map(policy)),
            Workspace::Direct => (Access::ReadWrite, owners::project_map(policy)),
            Workspace::Overlay => {
                let idmap = owners::project_map(policy);
                let layer = scene.found().find(|(item, _, _)| item.role == Role::Layer);
                let Some((_, Found::Directory, layer)) = layer else {
                    return Err(PolicyError::Invalid { what: "an overlay without a layer".to_owned() });
                };
                self.put(Mount::Overlay { lower: PROJECT, layer, target, idmap });
                return Ok(());
            }
        };
        self.put(Mount::Bind { source: PROJECT, target, access, recursive: false, idmap });
        Ok(())
    }

    /// Holds what was found to be held. Where something else is mounted, that counts.
    pub(super) fn held(&mut self, scene: &Scene<'_>) -> Result<(), PolicyError> {
        let places: Vec<&str> = std::iter::once(scene.policy.place.path.as_str())
            .chain(scene.policy.git_dirs().map(|(path, _)| path))
            .collect();
        for HeldPlace { spot, hiding } in &scene.facts.held {
            let wrong = || PolicyError::Invalid { what: format!("a held place `{}`", spot.path) };
            let place = places.get(usize::from(spot.place)).ok_or_else(wrong)?;
            let mut path = place.as_bytes().to_vec();
            if !spot.path.is_place() {
                path.push(b'/');
                path.extend_from_slice(spot.path.as_bytes());
            }
            let target = InnerPath::new(path).map_err(|_| wrong())?;
            let covered = self.steps.iter().any(|(above, step)| {
                let covers = matches!(step, Mount::Mask { .. } | Mount::Hold { hiding: Hiding::Hidden, .. });
                target == *above || (covers && target.is_within(above))
            });
            // A place itself is a mount already.
            if !covered && !spot.path.is_place() {
                self.put(Mount::Hold { target, hiding: *hiding });
            }
        }
        Ok(())
    }

    /// Hides places of credentials below what is bound.
    pub(super) fn hide(&mut self, scene: &Scene<'_>, everywhere: bool) -> Result<(), PolicyError> {
        let policy = scene.policy;
        let tops: Vec<&str> = policy
            .grants
            .iter()
            .filter(|grant| !grant.preset)
            .map(|grant| grant.path.as_str())
            .chain([policy.place.path.as_str()])
            .collect();
        let secret = credentials(&policy.person.home)?;
        let granted: Vec<&str> =
            tops.iter().copied().filter(|top| secret.iter().any(|place| is_within(top, place))).collect();
        for place in &secret {
            let around = everywhere || tops.iter().any(|top| is_below(place, top));
            if !around || self.has(place) {
                continue;
            }
            // Whoever grants a place of credentials has it with all that is in it.
            if granted.iter().any(|top| is_within(place, top)) {
                continue;
            }
            if let Some(grant) =
                policy.grants.iter().find(|grant| !grant.preset && is_below(&grant.path, place))
            {
                return Err(PolicyError::Refused {
                    what: format!(
                        "a grant of `{}`: it lies in `{}`, a place of credentials, which is hidden as a whole",
                        printable(&grant.path),
                        printable(place)
                    ),
                    rule: grant.origin.clone(),
                    remedy: format!("grant `{}`, or use posture L2 and no grant around it", printable(place)),
                });
            }
            let target = inner(place)?;
            let in_own = self.steps.values().any(|step| {
                matches!(step, Mount::Tmpfs { .. } | Mount::Proc { .. })
                    && target.is_within(step.target())
                    && !tops.iter().any(|top| is_below(place, top))
            });
            // A preset's program below such a place is not shown then, and neither is the rest.
            self.steps.retain(|path, _| !path.is_within(&target));
            self.leaves.retain(|path, _| !path.is_within(&target));
            if !in_own {
                self.put(Mount::Mask { target });
            }
        }
        Ok(())
    }

    /// Whether a path is there to be executed: bound from the host, or a link.
    pub(super) fn is_visible(&self, path: &str) -> bool {
        let Ok(path) = InnerPath::new(path) else { return false };
        let around = self.steps.iter().rev().find(|(target, _)| path.is_within(target));
        around.is_some_and(|(_, step)| is_of_the_host(step))
    }

    /// Whether a directory holds something that is there to be executed.
    pub(super) fn holds_visible(&self, directory: &str) -> bool {
        let Ok(directory) = InnerPath::new(directory) else { return false };
        let depth = directory.parts().count() + 1;
        self.steps.iter().any(|(target, step)| {
            is_of_the_host(step) && target.is_within(&directory) && target.parts().count() == depth
        })
    }

    /// The steps in order.
    pub(super) fn mounts(&self) -> Result<Vec<Mount>, PolicyError> {
        for (leaf, origin) in &self.leaves {
            if let Some(below) = self.steps.keys().find(|path| *path != leaf && path.is_within(leaf)) {
                return Err(PolicyError::Refused {
                    what: format!("`{below}`: `{leaf}` is no directory"),
                    rule: origin.clone(),
                    remedy: "grant the one or the other".to_owned(),
                });
            }
        }
        Ok(self.steps.values().cloned().collect())
    }
}

/// Whether a step shows something that is there already.
fn is_of_the_host(step: &Mount) -> bool {
    matches!(step, Mount::Bind { .. } | Mount::Overlay { .. } | Mount::Symlink { .. })
}

fn tmp_size(policy: &Policy) -> u64 {
    // Every sandbox posture gives one; a posture of configuration extends one of those.
    policy.settings.tmp_size.map_or(1 << 30, crate::lattice::TmpfsSize::get)
}

/// Something that is not what it has to be.
pub(super) fn missing(item: &Item, why: &str, remedy: &str) -> PolicyError {
    PolicyError::Refused {
        what: format!("a session without `{}`: {why}", printable(&item.wanted.path)),
        rule: item.wanted.origin.clone(),
        remedy: remedy.to_owned(),
    }
}
