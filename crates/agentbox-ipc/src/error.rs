//! What the supervisor answers when it does not do what was asked.

/// A failed call. The text is one to three lines for a person: what was refused or went wrong, the
/// rule behind it (file and key), and what to do.
#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.agentbox1.Error")]
pub enum Error {
    /// The conversation itself failed.
    #[zbus(error)]
    Transport(zbus::Error),
    /// A rule of the configuration forbids it.
    Refused(String),
    /// There is no such session, or it is not the caller's.
    NotFound(String),
    /// It exists in the design and not in this version.
    NotInThisVersion(String),
    /// The request or the configuration cannot be understood.
    Invalid(String),
    /// It was tried and did not work.
    Failed(String),
    /// The caller may not ask for this.
    NotAuthorized(String),
    /// A rule wants the person to say so for this one session.
    Unconfirmed(String),
}

impl Error {
    /// The text for a person, without the name of the error.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Transport(source) => source.to_string(),
            Self::Refused(text)
            | Self::NotFound(text)
            | Self::NotInThisVersion(text)
            | Self::Invalid(text)
            | Self::Failed(text)
            | Self::NotAuthorized(text)
            | Self::Unconfirmed(text) => text.clone(),
        }
    }
}

impl From<crate::DictionaryError> for Error {
    fn from(error: crate::DictionaryError) -> Self {
        Self::Invalid(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zbus::DBusError as _;

    #[test]
    fn every_error_carries_the_prefix_and_its_text() {
        let errors = [
            Error::Refused("a".into()),
            Error::NotFound("a".into()),
            Error::NotInThisVersion("a".into()),
            Error::Invalid("a".into()),
            Error::Failed("a".into()),
            Error::NotAuthorized("a".into()),
            Error::Unconfirmed("a".into()),
        ];
        for error in errors {
            assert!(error.name().as_str().starts_with(crate::ERROR_PREFIX), "{error:?}");
            assert_eq!(error.message(), "a");
        }
    }
}
