//! Configuration files: a project's own is an agent's to write.
#![no_main]

use agentbox_policy::{Layer, LayerKind};
use libfuzzer_sys::fuzz_target;

// First byte: whose file it is, and in which language.
fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    let kind = [LayerKind::Project, LayerKind::Person, LayerKind::System][usize::from(which % 3)];
    let file = if which & 0x80 == 0 { ".agentbox.toml" } else { "agentbox.json" };
    match Layer::parse(file, bytes, kind) {
        // As it travels to the supervisor, which judges it again.
        Ok(layer) => {
            let Ok(text) = serde_json::to_string(&layer) else { panic!("it cannot be sent") };
            assert_eq!(serde_json::from_str::<Layer>(&text).ok(), Some(layer));
        }
        Err(error) => assert!(!error.to_string().chars().any(|c| c.is_control() && c != '\n'), "{error:?}"),
    }
});
