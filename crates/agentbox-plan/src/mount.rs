//! One step of building a session's file system.

use crate::InnerPath;
use crate::look::Hiding;
use crate::wire::{wire_enum, wire_struct};
use std::ffi::CString;

wire_struct! {
    /// Which of the launcher's source descriptors, counted from
    /// [`descriptors::FIRST_SOURCE`](crate::descriptors::FIRST_SOURCE).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct SourceIndex {
        /// Position in the list of sources.
        pub index: u16,
    }
}

wire_enum! {
    /// What a session may do with what is mounted.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Access {
        /// Read and execute.
        1 = ReadOnly,
        /// Read, write and execute.
        2 = ReadWrite,
    }
}

wire_enum! {
    /// Whom a file that the launcher makes belongs to.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Owner {
        /// uid 0 and gid 0.
        1 = Root,
        /// The agent's own ids.
        2 = Agent,
    }
}

wire_enum! {
    /// One step of building the file system, carried out in the order of the plan.
    ///
    /// Parents of a target that do not exist are made: mode 0755, of root, or of the agent below a
    /// [`Mount::Tmpfs`] that is the agent's. Every mount is `nosuid`; every mount is `nodev` but
    /// [`Mount::Device`] and [`Mount::DevPts`].
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum Mount {
        /// A file or directory of the host. Submounts come along only when `recursive`.
        /// A target of `/` is the first step or absent; absent means an empty tmpfs as root.
        1 = Bind {
            /// Descriptor of the file or directory.
            source: SourceIndex,
            /// Where it appears.
            target: InnerPath,
            /// Whether it can be written.
            access: Access,
            /// Whether what is mounted below it on the host comes along.
            recursive: bool,
            /// Position in [`Sandbox::idmaps`](crate::Sandbox::idmaps) of the map to see owners through.
            idmap: Option<u8>,
        },
        /// An empty file system in memory.
        2 = Tmpfs {
            /// Where it appears.
            target: InnerPath,
            /// Permission bits of its root.
            mode: u32,
            /// Most bytes it holds.
            size_bytes: u64,
            /// Most files it holds.
            inodes: u64,
            /// Whom its root belongs to.
            owner: Owner,
            /// Whether programs on it can be executed.
            exec: bool,
        },
        /// An empty directory.
        3 = Directory {
            /// Its path.
            path: InnerPath,
            /// Permission bits.
            mode: u32,
            /// Whom it belongs to.
            owner: Owner,
        },
        /// A small file with given content.
        4 = File {
            /// Its path.
            path: InnerPath,
            /// Permission bits.
            mode: u32,
            /// Whom it belongs to.
            owner: Owner,
            /// What is in it.
            content: crate::wire::Bytes,
        },
        /// A symbolic link.
        5 = Symlink {
            /// Path of the link.
            path: InnerPath,
            /// What it says.
            to: CString,
        },
        /// A device node of the host, bound without `nodev`. Character devices only.
        6 = Device {
            /// Descriptor of the node.
            source: SourceIndex,
            /// Where it appears.
            target: InnerPath,
        },
        /// procfs of the session's own pid namespace (nosuid, nodev, noexec).
        7 = Proc {
            /// Where it appears.
            target: InnerPath,
        },
        /// A new instance of devpts, `ptmxmode=0666,mode=0620,max=256`.
        8 = DevPts {
            /// Where it appears.
            target: InnerPath,
        },
        /// The POSIX message queues of the session's own ipc namespace.
        9 = MessageQueues {
            /// Where it appears.
            target: InnerPath,
        },
        /// Hides what is there: an empty read-only directory over a directory, an empty unreadable
        /// file over anything else. Nothing there is not an error.
        10 = Mask {
            /// What is hidden.
            target: InnerPath,
        },
        /// Makes what is there read-only by binding it onto itself. Nothing there is not an error.
        11 = ReadOnly {
            /// What becomes read-only.
            target: InnerPath,
        },
        /// A file system in memory that the supervisor made, put something into and keeps open: a mount that
        /// was never attached (fsmount(2)), `nosuid` and `nodev`, its root the agent's.
        20 = Own {
            /// Descriptor of the mount.
            source: SourceIndex,
            /// Where it appears.
            target: InnerPath,
            /// Most bytes it holds.
            size_bytes: u64,
        },
        /// A directory of the host with a layer over it that takes every change (overlayfs). Both are seen
        /// through the same map.
        13 = Overlay {
            /// Descriptor of the directory of the host; nothing is written to it.
            lower: SourceIndex,
            /// Descriptor of a directory with two in it: `upper` takes the changes, `work` is the kernel's.
            /// Both belong to whom the agent appears as on disk.
            layer: SourceIndex,
            /// Where it appears.
            target: InnerPath,
            /// Position in [`Sandbox::idmaps`](crate::Sandbox::idmaps) of the map to see owners through.
            idmap: Option<u8>,
        },
        /// Makes something in the project a mount of its own, as which it can be neither renamed nor removed
        /// inside. No link leads there, and nothing there is an error: whoever planned it had seen it.
        12 = Hold {
            /// What is held.
            target: InnerPath,
            /// What it becomes.
            hiding: Hiding,
        },
    }
}

impl Mount {
    /// Where the step takes effect.
    #[must_use]
    pub fn target(&self) -> &InnerPath {
        match self {
            Self::Bind { target, .. }
            | Self::Overlay { target, .. }
            | Self::Tmpfs { target, .. }
            | Self::Device { target, .. }
            | Self::Proc { target }
            | Self::DevPts { target }
            | Self::MessageQueues { target }
            | Self::Mask { target }
            | Self::ReadOnly { target }
            | Self::Hold { target, .. }
            | Self::Own { target, .. } => target,
            Self::Directory { path, .. } | Self::File { path, .. } | Self::Symlink { path, .. } => path,
        }
    }

    /// Position of the map that its owners are seen through, where there is one.
    #[must_use]
    pub fn idmap(&self) -> Option<u8> {
        match self {
            Self::Bind { idmap, .. } | Self::Overlay { idmap, .. } => *idmap,
            _ => None,
        }
    }

    /// Whether the session can change files below the target.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        match self {
            Self::Bind { access, .. } => *access == Access::ReadWrite,
            Self::Hold { hiding, .. } => *hiding == Hiding::Pinned,
            Self::Tmpfs { owner, mode, .. } => *owner == Owner::Agent || mode & 0o002 != 0,
            Self::Overlay { .. }
            | Self::Proc { .. }
            | Self::DevPts { .. }
            | Self::MessageQueues { .. }
            | Self::Device { .. }
            | Self::Own { .. } => true,
            Self::Directory { .. }
            | Self::File { .. }
            | Self::Symlink { .. }
            | Self::Mask { .. }
            | Self::ReadOnly { .. } => false,
        }
    }
}
