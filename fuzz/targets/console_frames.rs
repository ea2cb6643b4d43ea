//! Frames between a person's client and the console of a session: neither believes the other.
#![no_main]

use agentbox_plan::console::{Frame, FromConsole, ToConsole};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut buffer = bytes.to_vec();
    let mut left = buffer.len() + 1;
    while let Ok(Some(frame)) = Frame::take(&mut buffer) {
        assert!(buffer.len() < left, "nothing was taken");
        left = buffer.len();
        assert!(frame.payload.len() <= Frame::MAX_BYTES);
        if let Ok(message) = ToConsole::from_frame(frame.clone()) {
            assert_eq!(message.to_frame(), frame);
        }
        if let Ok(message) = FromConsole::from_frame(frame.clone()) {
            assert_eq!(message.to_frame(), frame);
        }
    }
});
