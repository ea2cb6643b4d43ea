//! What a person or another program reads on standard output.

pub(crate) mod colour;
pub(crate) mod escape;
pub(crate) mod legs;
pub(crate) mod network;
pub(crate) mod table;
pub(crate) mod units;

use crate::errors::Failure;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};

/// Writes text to standard output. A reader that has left has seen enough.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stream = io::stdout().lock();
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::system("cannot write standard output", error))
        }
        _ => Ok(()),
    }
}

/// Writes a value as JSON.
pub(crate) fn print_json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(error.to_string()))?;
    print(&format!("{}\n", escape::json(&text)))
}

/// Says something beside the output: warnings, notes.
pub(crate) fn note(text: &str) {
    let _nobody_to_tell = writeln!(io::stderr(), "{text}");
}
