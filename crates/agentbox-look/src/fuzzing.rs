//! What the fuzz targets call: files of git that name other places.

use crate::git::pointers::{Named, alternate_lines, git_file_text, named};
use crate::place::Places;
use agentbox_plan::look::Spot;
use rustix::fs::{CWD, Mode, OFlags};

/// Names of the places: a project, and a git directory beside it.
const PLACES: [&[u8]; 2] = [b"/project", b"/project/.git/modules/m"];

/// Each name in a pointer leads into a place or to an absolute path in its normal form, which names the same again.
pub fn pointers(text: &[u8]) {
    let open = || rustix::fs::openat(CWD, "/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let opened =
        open().and_then(|one| Places::new(vec![one, open()?], PLACES.map(<[u8]>::to_vec).into_iter()));
    let Ok(places) = opened else { panic!("the root of this machine cannot be opened") };
    for text in git_file_text(text).into_iter().chain(alternate_lines(text)).chain([text]) {
        let found = named(&places, &Spot::default(), text);
        let path = match &found {
            Named::Nothing => continue,
            Named::Inside(spot) => {
                let path = places.absolute(spot);
                assert!(path.starts_with(PLACES[usize::from(spot.place)]), "{}", path.escape_ascii());
                path
            }
            Named::Outside(path) => {
                assert!(!path.starts_with(b"/project/") && path != b"/project", "{}", path.escape_ascii());
                path.clone()
            }
        };
        let mut names = path.split(|byte| *byte == b'/').skip(1);
        assert!(path.starts_with(b"/") && names.all(|name| !matches!(name, b"" | b"." | b"..")));
        assert_eq!(named(&places, &Spot::default(), &path), found);
    }
}
