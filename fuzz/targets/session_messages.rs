//! What the halves of the launcher, the looker and the gate of keys say: who reads it may be root, and who says it is where
//! an agent is or looks at what one wrote.
#![no_main]

use agentbox_fuzz::there_and_back;
use agentbox_plan::inner::{FromInner, ToInner};
use agentbox_plan::keys::{KeysAnswer, KeysPlan, KeysRequest};
use agentbox_plan::look::{LookPlan, Remembered, Report as LookReport, Sighting, Survey};
use agentbox_plan::report::Report;
use agentbox_plan::trigger::Triggers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    match which % 12 {
        0 => there_and_back::<FromInner>(bytes),
        1 => there_and_back::<ToInner>(bytes),
        2 => there_and_back::<Report>(bytes),
        3 => there_and_back::<Survey>(bytes),
        4 => there_and_back::<LookReport>(bytes),
        5 => there_and_back::<Sighting>(bytes),
        6 => there_and_back::<LookPlan>(bytes),
        7 => there_and_back::<Triggers>(bytes),
        8 => there_and_back::<KeysPlan>(bytes),
        9 => there_and_back::<KeysRequest>(bytes),
        10 => there_and_back::<KeysAnswer>(bytes),
        // What is kept of it until the project is looked at again.
        _ => there_and_back::<Remembered>(bytes),
    }
});
