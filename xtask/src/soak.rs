//! `soak`: the suite's random run of everything that can happen to sessions, for as long as one likes.

use crate::build::{Kind, build};
use crate::setup::{self, Verb};
use crate::test::Copies;
use crate::{program, workspace};
use anyhow::Result;
use std::process::ExitCode;

/// The test, and what it is told by.
const TEST: &str = "soak";
const SECONDS: &str = "AGENTBOX_SOAK_SECONDS";
const SEED: &str = "AGENTBOX_SOAK_SEED";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 120)]
    minutes: u64,
    /// What the acts are chosen by: that of a run that failed [default: another one each time]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode> {
    program::need_root("soak")?;
    setup::ensure(&[Verb::Build, Verb::Test])?;
    let copies = Copies::make(&build(Kind::Debug)?, &build(Kind::Testing)?)?;
    let seed = arguments.seed.unwrap_or_else(|| std::process::id().into());
    let mut command = workspace::cargo();
    command.args(["test", "--package", "agentbox-suite", "--test", TEST, "--", "--nocapture"]);
    command.env("AGENTBOX_BIN_DIR", &copies.debug).env("AGENTBOX_TESTING_BIN_DIR", &copies.testing);
    command.env(SECONDS, (arguments.minutes * 60).to_string()).env(SEED, seed.to_string());
    program::run(&mut command)?;
    Ok(ExitCode::SUCCESS)
}
