//! The host's file system, read-only, without its sockets and places of credentials.

use super::items::Role;
use super::tree::{Scene, Tree};
use super::{Found, ignored, inner, names, told};
use crate::PolicyError;
use agentbox_plan::{Access, Mount};

pub(super) fn tree(scene: &Scene<'_>) -> Result<Tree, PolicyError> {
    let mut tree = Tree::default();
    for (item, found, source) in scene.found() {
        match item.role {
            Role::Root => {
                let target = inner("/")?;
                tree.put(Mount::Bind {
                    source,
                    target,
                    access: Access::ReadOnly,
                    recursive: true,
                    idmap: None,
                });
            }
            // What is not there cannot be mounted on, and what is a link leads to another of them.
            Role::Private if *found == Found::Directory => tree.private(&item.wanted.path, scene.policy)?,
            // Nothing can be made in a directory that is not there to be replaced.
            Role::Shown if scene.replaced(&tree, &item.wanted.path) => tree.show(item, found, source)?,
            _ => {}
        }
    }
    tree.devices(scene)?;
    tree.proc(scene.base)?;
    tree.own_on_host(scene)?;
    tree.own(scene)?;
    tree.volumes(scene)?;
    tree.grants(scene)?;
    tree.project(scene)?;
    tree.hide(scene, true)?;
    tree.held(scene)?;
    names::cover(scene, &mut tree)?;
    names::denials(scene, &mut tree)?;
    told::file(scene, &mut tree)?;
    ignored::file(scene, &mut tree)?;
    Ok(tree)
}
