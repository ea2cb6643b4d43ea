//! What a message of the session may do. Pure: nothing is sent, nothing is asked.

use super::answer::fingerprint;
use super::bind::{self, Bound, bind};
use super::number::{EXTENSION, REQUEST_IDENTITIES, SIGN_REQUEST};
use super::purpose::{Signable, signable};
use super::read::Reader;
use agentbox_plan::keys::{Fingerprint, KeyReason, KeysPlan, Purpose};
use std::rc::Rc;

/// Namespace of git's signatures (git-config(1), gpg.format).
const GIT: &[u8] = b"git";
/// SSH_AGENT_RSA_SHA2_256 and SSH_AGENT_RSA_SHA2_512
const SHA2: [u32; 2] = [2, 4];

/// What a message asks for, judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The list of keys.
    List,
    /// The connection is for a chosen host from now on.
    Bound,
    /// A signature that is permitted.
    Sign {
        /// With which key.
        key: Fingerprint,
        /// What for.
        purpose: Purpose,
    },
    /// Nothing that is done here.
    Refused {
        /// The key, when it is one of the session's.
        key: Option<Fingerprint>,
        /// The purpose, when it is known.
        purpose: Option<Purpose>,
        /// Why.
        reason: KeyReason,
    },
}

/// What is known of one connection.
#[derive(Debug)]
pub struct Judge {
    plan: Rc<KeysPlan>,
    binding: Option<Result<Bound, KeyReason>>,
}

impl Judge {
    /// Of a new connection.
    #[must_use]
    pub fn new(plan: Rc<KeysPlan>) -> Self {
        Self { plan, binding: None }
    }

    /// Judges a message: its number and what follows.
    pub fn judge(&mut self, message: &[u8]) -> Asked {
        let refused = |reason| Asked::Refused { key: None, purpose: None, reason };
        let Some((number, rest)) = message.split_first() else { return refused(KeyReason::Malformed) };
        let rest = Reader::new(rest);
        // A connection that is for another machine gets nothing, not even the list.
        if let Some(Err(KeyReason::Forwarded)) = self.binding {
            return refused(KeyReason::Forwarded);
        }
        match *number {
            REQUEST_IDENTITIES => match rest.end() {
                Ok(()) => Asked::List,
                Err(_) => refused(KeyReason::Malformed),
            },
            SIGN_REQUEST => self.sign(rest),
            EXTENSION => self.extension(rest).map_or_else(refused, |()| Asked::Bound),
            _ => refused(KeyReason::Request),
        }
    }

    fn extension(&mut self, mut message: Reader<'_>) -> Result<(), KeyReason> {
        if message.string()? != bind::NAME {
            return Err(KeyReason::Request);
        }
        let bound = bind(message, &self.plan.hosts);
        let result = bound.as_ref().map(drop).map_err(|reason| *reason);
        // A second session on one connection is one behind the first: a forwarded agent.
        self.binding = Some(match (self.binding.take(), bound) {
            (None, bound) => bound,
            (Some(before), bound) if before == bound => before,
            (Some(_), _) => Err(KeyReason::Forwarded),
        });
        match &self.binding {
            Some(Err(reason)) => Err(*reason),
            _ => result,
        }
    }

    fn sign(&self, mut message: Reader<'_>) -> Asked {
        let refused = |key, purpose, reason| Asked::Refused { key, purpose, reason };
        let mut parts = || Ok::<_, KeyReason>((message.string()?, message.string()?, message.number()?));
        let Ok((blob, data, flags)) = parts() else { return refused(None, None, KeyReason::Malformed) };
        if message.end().is_err() {
            return refused(None, None, KeyReason::Malformed);
        }
        let key = fingerprint(blob);
        if !self.plan.keys.contains(&key) {
            return refused(None, None, KeyReason::KeyNotListed);
        }
        match self.purpose(blob, data) {
            Err((purpose, reason)) => refused(Some(key), purpose, reason),
            Ok(purpose) => {
                let is_rsa = Reader::new(blob).string() == Ok(b"ssh-rsa");
                match flags {
                    flags if SHA2.contains(&flags) => Asked::Sign { key, purpose },
                    0 if !is_rsa => Asked::Sign { key, purpose },
                    0 => refused(Some(key), Some(purpose), KeyReason::Sha1),
                    _ => refused(Some(key), Some(purpose), KeyReason::Malformed),
                }
            }
        }
    }

    /// What a signature is for, when it is permitted.
    fn purpose(&self, blob: &[u8], data: &[u8]) -> Result<Purpose, (Option<Purpose>, KeyReason)> {
        match signable(data) {
            Err(_) => Err((None, KeyReason::NotPermitted)),
            Ok(Signable::Namespace(GIT)) if self.plan.sign_git => Ok(Purpose::Git),
            Ok(Signable::Namespace(GIT)) => Err((Some(Purpose::Git), KeyReason::NotPermitted)),
            Ok(Signable::Namespace(_)) => Err((None, KeyReason::NotPermitted)),
            Ok(Signable::Login { session, key, host_key }) => {
                let bound = match &self.binding {
                    None => return Err((None, KeyReason::Unbound)),
                    Some(Err(reason)) => return Err((None, *reason)),
                    Some(Ok(bound)) => bound,
                };
                let purpose = Purpose::Login { host: bound.host };
                if key != blob {
                    return Err((Some(purpose), KeyReason::NotPermitted));
                }
                if session != bound.session || host_key.is_some_and(|key| key != bound.host_key) {
                    return Err((Some(purpose), KeyReason::OtherSession));
                }
                Ok(purpose)
            }
        }
    }
}
