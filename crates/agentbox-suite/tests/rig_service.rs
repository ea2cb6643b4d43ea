//! The supervisor as a service: on the system bus, with scopes of the service manager. Runs in a rig, where
//! agentbox is installed as a distribution would; elsewhere there is nothing to look at.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]
