//! A page that is made of words and tables of the code, as roff(7).

use roff::{Roff, bold, italic, roman};

/// A page that grows.
#[derive(Debug)]
pub(super) struct Page(Roff);

impl Page {
    /// With the line that `man -k` shows.
    pub(super) fn new(name: &str, section: &str, says: &str) -> Self {
        let mut page = Self(Roff::new());
        let version = format!("agentbox {}", env!("CARGO_PKG_VERSION"));
        page.0.control("TH", [name.to_uppercase().as_str(), section, "", version.as_str(), "agentbox"]);
        page.section("NAME");
        page.0.text([roman(format!("{name} - {says}"))]);
        page
    }

    /// A section.
    pub(super) fn section(&mut self, name: &str) {
        self.0.control("SH", [name]);
    }

    /// A paragraph. Words between `*` are bold.
    pub(super) fn text(&mut self, words: &str) {
        self.0.control("PP", []);
        self.line(words);
    }

    /// Something and what is said about it.
    pub(super) fn item(&mut self, what: &str, words: &str) {
        self.0.control("TP", []);
        self.0.text([bold(what)]);
        self.line(words);
    }

    /// One more line about the same.
    pub(super) fn aside(&mut self, words: &str) {
        self.0.control("br", []);
        self.0.text([italic(words)]);
    }

    /// Lines as they are.
    pub(super) fn example(&mut self, lines: &str) {
        self.0.control("PP", []);
        self.0.control("nf", []);
        for line in lines.lines() {
            self.0.text([roman(line)]);
        }
        self.0.control("fi", []);
    }

    /// Other pages.
    pub(super) fn see_also(&mut self, pages: &[&str]) {
        self.section("SEE ALSO");
        self.text(&pages.iter().map(|page| format!("*{page}*")).collect::<Vec<_>>().join(", "));
    }

    fn line(&mut self, words: &str) {
        let parts = words.split('*').enumerate();
        let inlines = parts.map(|(at, part)| if at % 2 == 1 { bold(part) } else { roman(part) });
        self.0.text(inlines.collect::<Vec<_>>());
    }

    /// The file.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0.render().into_bytes()
    }
}
