//! A project's own file as it is, and as it was when it was last accepted: of each key the tighter one.

use super::{Config, Environment, Layer};
use crate::lattice::Settings;
use crate::text::printable;

/// What two project's files hold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    /// Of each key the tighter value.
    pub(crate) layer: Layer,
    /// The keys of which the accepted file says more than the present one.
    pub(crate) kept: Vec<String>,
}

/// The present file with the accepted one. Both are a project's own.
pub(crate) fn join(present: Option<&Layer>, accepted: &Layer) -> Joined {
    let empty = Layer { file: accepted.file.clone(), ..Layer::default() };
    let present = present.unwrap_or(&empty);
    let config = join_configs(&present.config, &accepted.config);
    let layer = Layer { file: present.file.clone(), config, lines: present.lines.clone() };
    let kept = differences(&present.config, &layer.config);
    Joined { layer, kept }
}

/// What `to` says otherwise than `from`, a key each: `network: public → none`.
pub(crate) fn differences(from: &Config, to: &Config) -> Vec<String> {
    let tree = |config: &Config| serde_json::to_value(config).unwrap_or_default();
    let (from, to) = (tree(from), tree(to));
    let keys = [&from, &to].into_iter().filter_map(|tree| tree.as_object()).flat_map(|tree| tree.keys());
    let mut keys: Vec<&String> = keys.collect();
    keys.sort();
    keys.dedup();
    let shown = |value: &serde_json::Value| match value {
        serde_json::Value::Null => "nothing".to_owned(),
        serde_json::Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    };
    let differs = |key: &&String| from[key.as_str()] != to[key.as_str()];
    let line = |key: &String| format!("{key}: {} → {}", shown(&from[key.as_str()]), shown(&to[key.as_str()]));
    keys.into_iter().filter(differs).map(line).collect()
}

fn join_configs(one: &Config, other: &Config) -> Config {
    // Every key is named, so that one that is added has to be thought of here.
    let Config {
        default_posture: _,
        uid_range: _,
        users: _,
        resolvers: _,
        said_as: _,
        floor: _,
        ceiling: _,
        profile: _,
        project: _,
        posture: _,
        isolation: _,
        filesystem: _,
        identity: _,
        network: _,
        workspace: _,
        state: _,
        memory_max: _,
        tasks_max: _,
        open_files: _,
        tmp_size: _,
        home_size: _,
        upload_max: _,
        name_upload_max: _,
        on_gate_loss: _,
        trifecta: _,
        guard: _,
        cpu_weight: _,
        io_weight: _,
        runtime_max: _,
        idle_stop: _,
        disk_free_min: _,
        on_trigger: _,
        on_shared_files: _,
        mask,
        private,
        read,
        write,
        allow,
        deny,
        env,
    } = one;
    let settings = one.settings().join(&other.settings());
    let pass = |env: &Option<Environment>| env.as_ref().and_then(|env| env.pass.clone());
    let pass = both(&pass(env), &pass(&other.env));
    Config {
        private: match (private, other.private) {
            (None, None) => None,
            (one, other) => Some(*one == Some(true) || other == Some(true)),
        },
        read: both(read, &other.read),
        write: both(write, &other.write),
        allow: both(allow, &other.allow),
        deny: either(deny, &other.deny),
        mask: either(mask, &other.mask),
        env: pass.map(|pass| Environment { pass: Some(pass), ..Environment::default() }),
        ..with_settings(settings)
    }
}

fn with_settings(settings: Settings) -> Config {
    let Settings {
        isolation,
        filesystem,
        identity,
        network,
        workspace,
        state,
        memory_max,
        tasks_max,
        open_files,
        tmp_size,
        home_size,
        upload_max,
        name_upload_max,
        on_gate_loss,
        trifecta,
        guard,
        cpu_weight,
        io_weight,
        runtime_max,
        idle_stop,
        disk_free_min,
        on_trigger,
        on_shared_files,
    } = settings;
    Config {
        isolation,
        filesystem,
        identity,
        network,
        workspace,
        state,
        memory_max,
        tasks_max,
        open_files,
        tmp_size,
        home_size,
        upload_max,
        name_upload_max,
        on_gate_loss,
        trifecta,
        guard,
        cpu_weight,
        io_weight,
        runtime_max,
        idle_stop,
        disk_free_min,
        on_trigger,
        on_shared_files,
        ..Config::default()
    }
}

/// What both lists allow, by the letter.
fn both<T: Clone + PartialEq>(one: &Option<Vec<T>>, other: &Option<Vec<T>>) -> Option<Vec<T>> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.iter().filter(|item| other.contains(item)).cloned().collect()),
        (one, other) => one.clone().or_else(|| other.clone()),
    }
}

/// What either list denies.
fn either<T: Clone + PartialEq>(one: &Option<Vec<T>>, other: &Option<Vec<T>>) -> Option<Vec<T>> {
    let mut all = one.clone();
    for item in other.iter().flatten() {
        let all = all.get_or_insert_with(Vec::new);
        if !all.contains(item) {
            all.push(item.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LayerKind;

    fn layer(text: &str) -> Layer {
        Layer::parse("/p/.agentbox.toml", text.as_bytes(), LayerKind::Project).unwrap()
    }

    #[test]
    fn of_each_key_the_tighter_value_holds_whichever_file_says_it() {
        let accepted = layer(
            "network = \"none\"\nread = [\"/a\", \"/b\"]\ndeny = [\"a.org\"]\nmemory_max = \"1G\"\nworkspace = \"overlay\"\n\
             write = [\"/a\"]\nallow = [\"a.org\", \"b.org\"]\nmask = [\"/a\"]\nprivate = true\nenv.pass = [\"A\", \"B\"]",
        );
        let present = layer(
            "network = \"public\"\nread = [\"/b\", \"/c\"]\ndeny = [\"b.org\"]\nworkspace = \"readonly\"\n\
             write = [\"/a\", \"/c\"]\nallow = [\"b.org\", \"c.org\"]\nmask = [\"/b\"]\nprivate = false\nenv.pass = [\"B\", \"C\"]",
        );
        let joined = join(Some(&present), &accepted);
        let expected = layer(
            "network = \"none\"\nread = [\"/b\"]\ndeny = [\"b.org\", \"a.org\"]\nmemory_max = \"1G\"\nworkspace = \"readonly\"\n\
             write = [\"/a\"]\nallow = [\"b.org\"]\nmask = [\"/b\", \"/a\"]\nprivate = true\nenv.pass = [\"B\"]",
        );
        assert_eq!(joined.layer.config, expected.config);
        assert_eq!(joined.kept.len(), 9, "{:?}", joined.kept);
        assert!(joined.kept.contains(&"network: public → none".to_owned()), "{:?}", joined.kept);
    }

    #[test]
    fn a_file_that_is_gone_still_holds_and_one_that_tightens_needs_no_word() {
        let accepted = layer("network = \"none\"");
        assert_eq!(join(None, &accepted).layer.config, accepted.config);
        assert_eq!(join(None, &accepted).kept, ["network: nothing → none"]);
        let tighter = layer("network = \"none\"\nwrite = []");
        assert_eq!(join(Some(&tighter), &accepted).kept, Vec::<String>::new());
        assert_eq!(join(Some(&accepted), &accepted).layer.config, accepted.config);
    }
}
