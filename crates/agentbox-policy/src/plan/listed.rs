//! The file system in which only what is listed exists.

use super::items::Role;
use super::tree::{Scene, Tree};
use super::{agent, ignored, inner, made, names, process, told};
use crate::PolicyError;
use agentbox_plan::wire::Bytes;
use agentbox_plan::{Mount, Owner};

pub(super) fn tree(scene: &Scene<'_>) -> Result<Tree, PolicyError> {
    let policy = scene.policy;
    let mut tree = Tree::default();
    for path in &scene.base.private {
        tree.private(path, policy)?;
    }
    tree.devices(scene)?;
    tree.proc(scene.base)?;
    for (item, found, source) in scene.found().filter(|(item, _, _)| item.role == Role::Shown) {
        tree.show(item, found, source)?;
    }
    let home_size = policy.settings.home_size.map_or(1 << 30, crate::lattice::TmpfsSize::get);
    tree.tmpfs(&policy.person.home, 0o700, home_size, Owner::Agent, true)?;
    tree.own(scene)?;
    tree.volumes(scene)?;
    tree.grants(scene)?;
    tree.project(scene)?;
    tree.hide(scene, false)?;
    tree.held(scene)?;
    tree.symlink("/etc/mtab", "/proc/self/mounts")?;
    let shell = process::shell(policy, Some(&tree));
    for path in &scene.base.made {
        let Some(content) = made::content(path, policy, scene.facts, &shell) else { continue };
        let content = Bytes(content.into_bytes());
        tree.put(Mount::File { path: inner(path)?, mode: 0o644, owner: Owner::Root, content });
    }
    names::denials(scene, &mut tree)?;
    told::file(scene, &mut tree)?;
    ignored::file(scene, &mut tree)?;
    agent::tree(scene, &mut tree)?;
    Ok(tree)
}
