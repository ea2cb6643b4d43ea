//! Names, paths and keys as people and files spell them: what is read and written again is the same.
#![no_main]

use agentbox_plan::glob::PathGlob;
use agentbox_plan::keys::{Fingerprint, HostKey, SshHost};
use agentbox_plan::net::{Cidr, HostName};
use agentbox_plan::{InnerPath, SessionId};
use agentbox_policy::{HostPath, HostRule, KeyFingerprint, Name, Publish, Resolver, UserName, VariableName};
use libfuzzer_sys::fuzz_target;
use std::fmt::{Debug, Display};
use std::str::FromStr;

fn there_and_back<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(read) = text.parse::<T>() {
        let written = read.to_string();
        assert_eq!(written.parse::<T>().ok(), Some(read), "{text:?}, {written:?}");
    }
}

fuzz_target!(|text: &str| {
    there_and_back::<PathGlob>(text);
    there_and_back::<Fingerprint>(text);
    there_and_back::<HostKey>(text);
    there_and_back::<SshHost>(text);
    there_and_back::<Cidr>(text);
    there_and_back::<HostName>(text);
    there_and_back::<SessionId>(text);
    there_and_back::<HostPath>(text);
    there_and_back::<HostRule>(text);
    there_and_back::<KeyFingerprint>(text);
    there_and_back::<Name>(text);
    there_and_back::<Publish>(text);
    there_and_back::<Resolver>(text);
    there_and_back::<UserName>(text);
    there_and_back::<VariableName>(text);
    if let Ok(path) = InnerPath::new(text) {
        assert!(path.parts().all(|part| part != b".." && part != b"."), "{text:?}");
    }
});
