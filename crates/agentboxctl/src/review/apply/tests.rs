//! `apply` on plain directories: what is left when it is cut off, when a step fails, when somebody else works
//! on the project at that moment.

use super::engine::{Outcome, Place, Reached, Stopped, apply, recover};
use super::journal::{Action, Step};
use super::select::{Conflicts, Why, select};
use crate::review::change::{Change, Judge, RelPath};
use crate::review::compare::{Trees, compare};
use crate::review::remember::Remembered;
use crate::review::{renames, show};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

/// A project, the way a session left it, and a directory of reviews.
struct Scene {
    place: tempfile::TempDir,
    review: OwnedFd,
    trees: Trees,
}

impl Scene {
    fn new(project: impl FnOnce(&Path), left: impl FnOnce(&Path)) -> Self {
        // In memory, where syncing costs nothing: these are hundreds of runs.
        let place = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let below = |name: &str| place.path().join(name);
        for name in ["project", "merged", "review"] {
            fs::create_dir(below(name)).unwrap();
        }
        project(&below("project"));
        left(&below("merged"));
        let open = |name: &str| OwnedFd::from(File::open(below(name)).unwrap());
        // What was written has every name here, so everything is compared.
        let trees = Trees { project: open("project"), merged: open("merged"), upper: open("merged") };
        let review = open("review");
        Self { place, review, trees }
    }

    fn project(&self) -> std::path::PathBuf {
        self.place.path().join("project")
    }

    /// Nothing of the project counts as changed since.
    fn remembered(&self) -> Remembered {
        Remembered::read(&self.review, (i64::MAX, 0)).unwrap()
    }

    fn changes(&self) -> Vec<Change> {
        let judge = Judge::new(agentbox_policy::built_in_triggers().unwrap().clone());
        let mut changes = compare(&self.trees, &judge, &self.remembered()).unwrap().changes;
        renames::find(&self.trees, &mut changes);
        show::sort(&mut changes);
        changes
    }

    fn apply_all(&self, reached: Reached<'_>) -> Result<Outcome, Stopped> {
        let mut selection = select(&self.changes(), &[], true, &[], Conflicts::Leave);
        let id = "abc".parse().unwrap();
        let place = Place::new(&self.trees.project, &self.review, &id);
        apply(&place, &self.trees, &mut selection, &mut self.remembered(), reached)
    }

    fn recover(&self, reached: Reached<'_>) -> Result<Option<Outcome>, Stopped> {
        let id = "abc".parse().unwrap();
        recover(&Place::new(&self.trees.project, &self.review, &id), &mut self.remembered(), reached)
    }
}

/// Everything below a directory: mode and content.
fn state(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let content = if metadata.is_symlink() {
                format!("→{}", fs::read_link(&path).unwrap().display()).into_bytes()
            } else if metadata.is_dir() {
                open.push(path.clone());
                b"directory".to_vec()
            } else {
                fs::read(&path).unwrap()
            };
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            all.insert(name, (if metadata.is_symlink() { 0 } else { metadata.mode() & 0o777 }, content));
        }
    }
    all
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn everything() -> Scene {
    Scene::new(
        |root| {
            for name in [
                "keep",
                "change",
                "mode",
                "gone",
                "gone-dir/a",
                "gone-dir/b",
                "to-dir",
                "from-dir/x",
                "old-name",
            ] {
                write(root, name, &format!("content of {name}\nand more\n"));
            }
            symlink("keep", root.join("link")).unwrap();
        },
        |root| {
            for name in ["keep", "mode"] {
                write(root, name, &format!("content of {name}\nand more\n"));
            }
            write(root, "new-name", "content of old-name\nand more\n");
            write(root, "change", "changed\n");
            write(root, "added", "added\n");
            write(root, "deep/er/added", "added\n");
            write(root, "to-dir/inside", "x\n");
            write(root, "from-dir", "a file now\n");
            symlink("change", root.join("link")).unwrap();
            fs::set_permissions(root.join("mode"), fs::Permissions::from_mode(0o755)).unwrap();
            fs::set_permissions(root.join("added"), fs::Permissions::from_mode(0o6755)).unwrap();
        },
    )
}

/// What `everything` wants, without set-id bits.
fn wanted(scene: &Scene) -> BTreeMap<String, (u32, Vec<u8>)> {
    state(&scene.place.path().join("merged"))
}

#[test]
fn everything_that_can_differ_is_applied() {
    let scene = everything();
    let outcome = scene.apply_all(&mut || Ok(())).unwrap();
    assert_eq!(outcome.left, []);
    assert_eq!(state(&scene.project()), wanted(&scene));
    assert_eq!(fs::metadata(scene.project().join("added")).unwrap().mode() & 0o7777, 0o755);
    assert!(scene.changes().iter().all(|change| change.path.as_bytes() == b"added" && !change.content));
    assert_eq!(fs::read_dir(scene.place.path().join("review")).unwrap().count(), 1);
}

/// Stops an `apply` before each thing that it does, as a kill would, and the call after it likewise, at most
/// twice: in the end the project is as it was or as it should be, never between.
#[test]
fn cut_off_anywhere_it_is_whole_or_not_at_all_after_the_next_call() {
    let (mut finished, mut undone) = (0, 0);
    for first in 0.. {
        let mut complete = false;
        for second in [0, 1, 3, 7, 12, 20, usize::MAX] {
            let scene = everything();
            let before = state(&scene.project());
            let stop_at = |at: usize| {
                let mut count = 0;
                move || {
                    count += 1;
                    if count > at { Err(io::Error::other("cut off")) } else { Ok(()) }
                }
            };
            complete |= scene.apply_all(&mut stop_at(first)).is_ok();
            let _cut_off_again = scene.recover(&mut stop_at(second));
            scene.recover(&mut || Ok(())).unwrap();
            let after = state(&scene.project());
            if after == before {
                undone += 1;
            } else {
                assert_eq!(after, wanted(&scene), "cut off before {first}, then before {second}");
                finished += 1;
            }
            assert!(scene.recover(&mut || Ok(())).unwrap().is_none());
        }
        if complete {
            break;
        }
    }
    assert!(finished > 40 && undone > 40, "{finished} {undone}");
}

/// `git clean` of the person's, after a kill.
#[test]
fn when_what_was_prepared_is_removed_the_rest_is_named_and_the_session_goes_on() {
    let mut seen = 0;
    for first in 0.. {
        let scene = everything();
        let mut count = 0;
        let cut_off = scene.apply_all(&mut || {
            count += 1;
            if count > first { Err(io::Error::other("cut off")) } else { Ok(()) }
        });
        if cut_off.is_ok() {
            break;
        }
        let staging = scene.project().join(".agentbox-apply-abc");
        let has_begun = scene.place.path().join("review/journal.json").exists();
        if staging.exists() && fs::read_dir(&staging).unwrap().count() > 0 {
            assert_eq!(fs::read(staging.join(".gitignore")).unwrap(), b"*\n");
            fs::rename(&staging, scene.place.path().join("gone")).unwrap();
        }
        let outcome = scene.recover(&mut || Ok(())).unwrap();
        assert_eq!(outcome.is_some(), has_begun);
        let Some(outcome) = outcome else { continue };
        seen += 1;
        // What was done and what was left are all there was to do.
        let steps = 19;
        assert_eq!(
            outcome.written + outcome.removed + outcome.left.len() as u64,
            steps,
            "{first} {outcome:?}"
        );
        assert!(scene.recover(&mut || Ok(())).unwrap().is_none());
        scene.apply_all(&mut || Ok(())).unwrap();
        assert_eq!(state(&scene.project()), wanted(&scene));
    }
    assert!(seen > 10, "{seen}");
}

#[test]
fn a_step_that_fails_takes_all_of_them_back() {
    let scene = everything();
    let before = state(&scene.project());
    let id = "abc".parse().unwrap();
    let place = Place::new(&scene.trees.project, &scene.review, &id);
    let mut selection = select(&scene.changes(), &[], true, &[], Conflicts::Leave);
    // No file system has such a name.
    let path = RelPath::new(&[b'x'; 300]).unwrap();
    let expected = Some(crate::review::tree::examine(&scene.review).unwrap());
    selection.steps.push(Step { path, action: Action::RemoveDirectory, expected });
    let result = apply(&place, &scene.trees, &mut selection, &mut scene.remembered(), &mut || Ok(()));
    assert!(matches!(result, Err(Stopped::TakenBack(_))), "{result:?}");
    assert_eq!(state(&scene.project()), before);
    assert!(scene.recover(&mut || Ok(())).unwrap().is_none());
}

#[test]
fn what_cannot_be_read_is_left_and_named_and_the_rest_is_taken() {
    let work = || {
        let scene = Scene::new(
            |_| {},
            |root| {
                write(root, "closed", "x\n");
                write(root, "open", "x\n");
                fs::set_permissions(root.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
            },
        );
        let outcome = scene.apply_all(&mut || Ok(())).unwrap();
        assert_eq!((outcome.left.len(), outcome.written), (1, 1));
        assert_eq!(
            (outcome.left[0].path.as_bytes(), &outcome.left[0].why),
            (&b"closed"[..], &Why::Unreadable)
        );
        assert!(scene.project().join("open").exists() && !scene.project().join("closed").exists());
    };
    let as_somebody = move || {
        if rustix::process::geteuid().is_root() {
            // Of this thread alone: root reads everything.
            let (uid, gid) = (rustix::thread::Uid::from_raw(65534), rustix::thread::Gid::from_raw(65534));
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        }
        work();
    };
    std::thread::spawn(as_somebody).join().unwrap();
}

#[test]
fn an_error_says_where() {
    let scene = everything();
    let changes = scene.changes();
    let mut selection = select(&changes, &[], true, &[], Conflicts::Leave);
    fs::remove_file(scene.place.path().join("merged/added")).unwrap();
    let id = "abc".parse().unwrap();
    let place = Place::new(&scene.trees.project, &scene.review, &id);
    let stopped = apply(&place, &scene.trees, &mut selection, &mut scene.remembered(), &mut || Ok(()));
    let failure = crate::errors::Failure::from(stopped.unwrap_err());
    assert!(failure.text().contains("added: No such file"), "{}", failure.text());
}

#[test]
fn what_somebody_saves_at_that_moment_is_theirs() {
    for by_rename in [false, true] {
        let scene = Scene::new(|root| write(root, "file", "old\n"), |root| write(root, "file", "session\n"));
        let file = scene.project().join("file");
        let mut count = 0;
        let outcome = scene
            .apply_all(&mut || {
                count += 1;
                // After everything was looked at, before the first step.
                if count == 4 {
                    if by_rename {
                        fs::write(file.with_extension("new"), "saved\n").unwrap();
                        fs::rename(file.with_extension("new"), &file).unwrap();
                    } else {
                        fs::write(&file, "saved in place\n").unwrap();
                    }
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(outcome.left.len(), 1, "{outcome:?}");
        assert!(fs::read_to_string(&file).unwrap().starts_with("saved"));
    }
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere() {
    let scene = Scene::new(
        |root| {
            write(root, "sub/file", "old\n");
            write(root, "sub/gone", "old\n");
        },
        |root| write(root, "sub/file", "session\n"),
    );
    let outside = scene.place.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "outside\n").unwrap();
    fs::write(outside.join("gone"), "outside\n").unwrap();
    let mut count = 0;
    let project = scene.project();
    let outcome = scene
        .apply_all(&mut || {
            count += 1;
            if count == 4 {
                fs::rename(project.join("sub"), project.join("away")).unwrap();
                symlink(&outside, project.join("sub")).unwrap();
            }
            Ok(())
        })
        .unwrap();
    assert_eq!(outcome.left.len(), 2, "{outcome:?}");
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "outside\n");
    assert!(outside.join("gone").exists());
}

#[test]
fn trigger_files_links_into_their_places_and_pipes_are_never_taken_unnamed() {
    let scene = Scene::new(
        |_| {},
        |root| {
            write(root, ".claude/settings.json", "{}");
            write(root, "assets/settings.json", "{}");
            symlink("assets", root.join(".vscode")).unwrap();
            write(root, ".git/hooks/post-commit", "#!/bin/sh\n");
            write(root, ".git/objects/aa/bb", "x");
            write(root, "package.json", "{}");
            write(root, ".agentbox-apply-x/file", "x");
            let root = File::open(root).unwrap();
            rustix::fs::mknodat(
                &root,
                "pipe",
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::from_raw_mode(0o600),
                0,
            )
            .unwrap();
        },
    );
    scene.apply_all(&mut || Ok(())).unwrap();
    let names: Vec<String> = state(&scene.project()).into_keys().collect();
    assert_eq!(names, [".claude", "assets", "assets/settings.json"]);
    let path = |text: &str| RelPath::new(text.as_bytes()).unwrap();
    // A directory around it is no name of it; a report-only one may be named as any other path.
    let selection = select(
        &scene.changes(),
        &[path(".claude"), path(".git"), path("package.json")],
        false,
        &[path(".git/hooks/post-commit")],
        Conflicts::Leave,
    );
    let taken: Vec<String> = selection.triggers.iter().map(RelPath::text).collect();
    assert_eq!(taken, [".git/hooks/post-commit", "package.json"]);
    assert!(
        selection
            .left
            .iter()
            .any(|left| left.path == path(".claude/settings.json") && matches!(left.why, Why::Trigger(_)))
    );
}

#[test]
fn a_trigger_file_stays_when_it_is_removed_or_a_directory_takes_its_place() {
    let scene = Scene::new(
        |root| {
            for name in [".envrc", ".claude/settings.json", ".husky/pre-commit", "file"] {
                write(root, name, "the person's\n");
            }
        },
        |root| {
            write(root, ".envrc/x", "x\n");
            write(root, ".husky/pre-commit/x", "x\n");
            write(root, "file/x", "x\n");
        },
    );
    let outcome = scene.apply_all(&mut || Ok(())).unwrap();
    assert_eq!(outcome.removed, 1);
    let files: Vec<String> =
        state(&scene.project()).into_keys().filter(|name| !name.ends_with('x')).collect();
    assert_eq!(files, [".claude", ".claude/settings.json", ".envrc", ".husky", ".husky/pre-commit", "file"]);
    assert!(scene.project().join(".envrc").is_file() && scene.project().join("file/x").exists());
    let path = |text: &str| RelPath::new(text.as_bytes()).unwrap();
    // What lies in it brings it along no more than it is taken itself.
    let inside = select(&scene.changes(), &[path(".envrc/x")], false, &[], Conflicts::Leave);
    assert!(inside.steps.is_empty() && matches!(inside.left[0].why, Why::Trigger(_)));
    let named = [path(".envrc"), path(".claude/settings.json")];
    let selection = select(&scene.changes(), &[path(".envrc/x")], false, &named, Conflicts::Leave);
    assert_eq!((selection.triggers.len(), selection.steps.len(), selection.left.len()), (2, 4, 0));
}

#[test]
fn hooks_of_a_linked_worktree_and_of_a_repository_in_the_project_stay() {
    let place = tempfile::tempdir().unwrap();
    let git = place.path().join("worktree");
    let scene = Scene::new(
        |root| {
            write(&git, "commondir", "common\n");
            write(&git, "common/config", "[core]\nhooksPath = tools/hooks\n");
            write(root, ".git", &format!("gitdir: {}\n", git.display()));
            write(root, "sub/.git/config", "[core]\nhooksPath = ../a\n");
        },
        |root| {
            write(root, ".git", &format!("gitdir: {}\n", git.display()));
            write(root, "sub/.git/config", "[core]\nhooksPath = ../a\n");
            for name in ["tools/hooks/pre-commit", "tools/hooks/helper", "a/pre-push", "sub/a/pre-push"] {
                write(root, name, "#!/bin/sh\n");
            }
        },
    );
    scene.apply_all(&mut || Ok(())).unwrap();
    let is_there = |name: &str| scene.project().join(name).exists();
    assert!(is_there("tools/hooks/helper") && is_there("sub/a/pre-push"));
    assert!(!is_there("tools/hooks/pre-commit") && !is_there("a/pre-push"));
}

#[test]
fn what_the_person_removed_or_renamed_does_not_come_back_unasked() {
    let scene = Scene::new(
        |root| write(root, "src/f9", "a\nb\n"),
        |root| {
            for name in ["mod", "src/f1", "new", "src/f9"] {
                write(root, name, "a\nb\n");
            }
        },
    );
    let mut changes = scene.changes();
    crate::review::mark_what_was(&mut changes, &[b"".to_vec(), b"mod".to_vec(), b"src/f1".to_vec()]);
    let selection = select(&changes, &[], true, &[], Conflicts::Leave);
    let left: Vec<String> = selection.left.iter().map(|left| left.path.text()).collect();
    assert_eq!(left, ["mod", "src/f1"]);
    assert!(selection.left.iter().all(|left| left.why == Why::Conflict));
    assert_eq!(selection.steps.len(), 1);
    assert_eq!(select(&changes, &[], true, &[], Conflicts::Theirs).steps.len(), 3);
}

#[test]
fn what_both_changed_stays_when_the_session_made_a_directory_of_it() {
    let scene = Scene::new(|root| write(root, "file", "person\n"), |root| write(root, "file/x", "session\n"));
    let judge = Judge::new(agentbox_policy::built_in_triggers().unwrap().clone());
    let remembered = Remembered::read(&scene.review, (0, 0)).unwrap();
    let changes = compare(&scene.trees, &judge, &remembered).unwrap().changes;
    let selection = select(&changes, &[], true, &[], Conflicts::Leave);
    assert!(selection.steps.is_empty() && selection.left.iter().all(|left| left.why == Why::Conflict));
    assert_eq!(select(&changes, &[], true, &[], Conflicts::Theirs).steps.len(), 3);
}

#[test]
fn conflicts_are_named_and_left_or_decided() {
    let scene = Scene::new(|root| write(root, "file", "person\n"), |root| write(root, "file", "session\n"));
    // The layer was made before the person's file was stamped.
    let judge = Judge::new(agentbox_policy::built_in_triggers().unwrap().clone());
    let mut remembered = Remembered::read(&scene.review, (0, 0)).unwrap();
    let changes = compare(&scene.trees, &judge, &remembered).unwrap().changes;
    let left = select(&changes, &[], true, &[], Conflicts::Leave);
    assert!(left.steps.is_empty() && left.left[0].why == Why::Conflict);
    let mine = select(&changes, &[], true, &[], Conflicts::Mine);
    assert!(mine.steps.is_empty() && mine.left.is_empty());
    remembered.add(&scene.review, Vec::new(), mine.declined).unwrap();
    let remembered = Remembered::read(&scene.review, (0, 0)).unwrap();
    assert!(compare(&scene.trees, &judge, &remembered).unwrap().changes.is_empty());
    assert_eq!(select(&changes, &[], true, &[], Conflicts::Theirs).steps.len(), 1);
}

fn any_tree() -> impl Strategy<Value = Vec<(String, u8)>> {
    let name = prop_oneof!["[abc]", "[abc]/[xy]", "[abc]/[xy]/[12]"];
    proptest::collection::vec((name, 0u8..6), 0..12)
}

fn plant(root: &Path, files: &[(String, u8)]) {
    for (name, content) in files {
        let path = root.join(name);
        let there = path.ancestors().skip(1).any(|above| {
            above.starts_with(root)
                && above != root
                && fs::symlink_metadata(above).is_ok_and(|found| !found.is_dir())
        });
        if there || fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content {
            0 => fs::create_dir(path).unwrap(),
            1 => symlink("a", path).unwrap(),
            content => {
                fs::write(&path, vec![b'a' + content; 9]).unwrap();
                let mode = if content % 2 == 0 { 0o644 } else { 0o755 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn applying_everything_makes_any_tree_of_any_other(before in any_tree(), after in any_tree()) {
        let scene = Scene::new(|root| plant(root, &before), |root| plant(root, &after));
        let outcome = scene.apply_all(&mut || Ok(())).unwrap();
        prop_assert_eq!(outcome.left, vec![]);
        prop_assert_eq!(state(&scene.project()), wanted(&scene));
        prop_assert!(scene.changes().is_empty());
    }

    #[test]
    fn what_is_taken_back_is_as_it_was(before in any_tree(), after in any_tree(), at in 0usize..30) {
        let scene = Scene::new(|root| plant(root, &before), |root| plant(root, &after));
        let was = state(&scene.project());
        let mut count = 0;
        let _cut_off = scene.apply_all(&mut || {
            count += 1;
            if count > at { Err(io::Error::other("cut off")) } else { Ok(()) }
        });
        let journal = scene.place.path().join("review/journal.json");
        if let Ok(text) = fs::read_to_string(&journal) {
            fs::write(&journal, text.replace("\"forward\"", "\"back\"")).unwrap();
            let result = scene.recover(&mut || Ok(()));
            prop_assert!(matches!(result, Err(Stopped::TakenBack(_))), "{result:?}");
            prop_assert_eq!(state(&scene.project()), was);
        }
    }
}

#[test]
fn a_text_that_moved_and_changed_a_little_is_one_thing() {
    let lines = |changed: usize| {
        (0..10).map(|n| format!("line {}\n", if n < changed { n + 100 } else { n })).collect::<String>()
    };
    let scene = Scene::new(
        |root| write(root, "old/name", &lines(0)),
        |root| {
            write(root, "new/name", &lines(2));
            write(root, "other", &lines(10));
        },
    );
    let changes = scene.changes();
    let from = |path: &str| {
        let change = changes.iter().find(|change| change.path.as_bytes() == path.as_bytes()).unwrap();
        change.renamed_from.as_ref().map(RelPath::text)
    };
    assert_eq!(from("new/name").as_deref(), Some("old/name"));
    assert_eq!(from("other"), None);
    assert!(!changes.iter().any(|change| change.path.as_bytes() == b"old/name"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_called_renamed_has_the_same_content_and_each_is_one_once(
        before in proptest::collection::vec(0u8..8, 0..8),
        after in proptest::collection::vec(0u8..8, 0..8),
    ) {
        // Contents without a common line, so that only the same ones are alike.
        let content = |number: u8| format!("{number}-a\n{number}-b\n");
        let plant = |root: &Path, prefix: &str, numbers: &[u8]| {
            for (at, number) in numbers.iter().enumerate() {
                write(root, &format!("{prefix}{at}"), &content(*number));
            }
        };
        let scene = Scene::new(|root| plant(root, "old", &before), |root| plant(root, "new", &after));
        let changes = scene.changes();
        let read = |root: &str, path: &RelPath| fs::read(scene.place.path().join(root).join(path.text())).unwrap();
        let mut sources = Vec::new();
        for change in &changes {
            if let Some(from) = &change.renamed_from {
                prop_assert_eq!(read("project", from), read("merged", &change.path));
                sources.push(from.clone());
            }
        }
        let all = sources.len();
        sources.sort();
        sources.dedup();
        prop_assert_eq!(all, sources.len());
        let common = |number: &u8| before.iter().filter(|one| *one == number).count().min(after.iter().filter(|one| *one == number).count());
        prop_assert_eq!(all, (0..8).map(|number| common(&number)).sum::<usize>());
    }
}
