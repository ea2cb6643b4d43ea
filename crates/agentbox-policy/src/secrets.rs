//! Secrets that a session gets from files. Their values are no part of a policy.

use crate::Opener;
use zeroize::Zeroizing;

/// Where files with secrets are inside.
pub(crate) const DIRECTORY: &str = "/run/agentbox/secrets";
/// Who logs in, for hosts that want a name and look at the token only.
pub(crate) const GIT_USER: &str = "x-access-token";

/// A secret of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretGrant {
    /// The variable that it is named by.
    pub name: String,
    /// The file on the host.
    pub path: String,
    /// With whose rights it is read.
    pub by: Opener,
    /// How the session gets it.
    pub how: SecretHow,
    pub(crate) origin: String,
}

/// How a session gets a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretHow {
    /// As a variable.
    Env,
    /// As a file.
    File,
    /// As what git is told when it logs in to this host.
    Git(String),
}

impl SecretGrant {
    /// The rule that grants it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its file inside, for one that has one.
    pub(crate) fn path_inside(&self) -> Option<String> {
        (self.how != SecretHow::Env).then(|| format!("{DIRECTORY}/{}", self.name))
    }

    /// What the session finds in the file: the secret, or the answer to git (git-credential(1)).
    #[must_use]
    pub fn content(&self, secret: &str) -> Zeroizing<String> {
        Zeroizing::new(match self.how {
            // In one piece: a text that grows leaves what it held before behind.
            SecretHow::Git(_) => ["username=", GIT_USER, "\npassword=", secret, "\n"].concat(),
            SecretHow::Env | SecretHow::File => secret.to_owned(),
        })
    }

    /// In words, for `explain`.
    pub(crate) fn words(&self) -> String {
        match &self.how {
            SecretHow::Env => format!("{} from {}", self.name, self.path),
            SecretHow::File => format!("{} from {}, as a file", self.name, self.path),
            SecretHow::Git(host) => format!("{} from {}, for git at {host}", self.name, self.path),
        }
    }
}
