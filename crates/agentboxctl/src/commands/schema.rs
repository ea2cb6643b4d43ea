//! `schema`: the JSON schema of the configuration.

use crate::errors::Failure;
use crate::output::print_json;

pub(super) fn run() -> Result<u8, Failure> {
    print_json(&agentbox_policy::schema())?;
    Ok(0)
}
