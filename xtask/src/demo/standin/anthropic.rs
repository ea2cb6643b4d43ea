//! The Messages API: one answer as a stream of events, with a text or one call of a tool.

use super::http::Reply;
use super::task::{Done, Step, Task};
use serde_json::{Value, json};

/// Calls are named so; the step follows.
const CALL: &str = "toolu_agentbox_";

pub(super) fn messages(task: &Task, body: &Value) -> Reply {
    let has_tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    // Besides the conversation a client asks for titles and summaries, without tools.
    let step = if has_tools { task.next(last(body).as_ref()) } else { Step::Say("A sum") };
    let (block, deltas, stop) = content(task, step);
    if !body["stream"].as_bool().unwrap_or(false) {
        return Reply::json(&json!({
            "id": "msg_agentbox", "type": "message", "role": "assistant", "model": body["model"],
            "content": [whole(task, step)], "stop_reason": stop, "stop_sequence": null,
            "usage": { "input_tokens": 1, "output_tokens": 1 },
        }));
    }
    let mut events = vec![
        json!({ "type": "message_start", "message": {
            "id": "msg_agentbox", "type": "message", "role": "assistant", "model": body["model"],
            "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": { "input_tokens": 1, "output_tokens": 1 },
        }}),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
    ];
    events.extend(deltas.map(|delta| json!({ "type": "content_block_delta", "index": 0, "delta": delta })));
    events.extend([
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": stop, "stop_sequence": null },
            "usage": { "output_tokens": 1 } }),
        json!({ "type": "message_stop" }),
    ]);
    Reply::events(&events)
}

/// The block as it begins, what is added to it, and why the answer ends.
fn content(task: &Task, step: Step) -> (Value, std::array::IntoIter<Value, 2>, &'static str) {
    // In two pieces, as a real service sends them.
    let halves = |text: &str| {
        let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (first, second) = text.split_at(middle);
        (first.to_owned(), second.to_owned())
    };
    match tool(task, step) {
        None => {
            let Step::Say(text) = step else { return content(task, Step::Say("")) };
            let (first, second) = halves(text);
            let delta = |text| json!({ "type": "text_delta", "text": text });
            (json!({ "type": "text", "text": "" }), [delta(first), delta(second)].into_iter(), "end_turn")
        }
        Some((name, input)) => {
            let (first, second) = halves(&input.to_string());
            let delta = |json| json!({ "type": "input_json_delta", "partial_json": json });
            let id = format!("{CALL}{}", step.name());
            let block = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
            (block, [delta(first), delta(second)].into_iter(), "tool_use")
        }
    }
}

fn whole(task: &Task, step: Step) -> Value {
    match (tool(task, step), step) {
        (Some((name, input)), _) => {
            json!({ "type": "tool_use", "id": format!("{CALL}{}", step.name()), "name": name, "input": input })
        }
        (None, Step::Say(text)) => json!({ "type": "text", "text": text }),
        (None, _) => json!({ "type": "text", "text": "" }),
    }
}

/// The tool that does it, and what it is given.
fn tool(task: &Task, step: Step) -> Option<(&'static str, Value)> {
    match step {
        Step::Read => Some(("Read", json!({ "file_path": task.file }))),
        Step::Edit { wrong, right } => {
            Some(("Edit", json!({ "file_path": task.file, "old_string": wrong, "new_string": right })))
        }
        Step::Test => Some(("Bash", json!({ "command": task.test, "description": "Runs the test" }))),
        Step::Say(_) => None,
    }
}

/// The newest result of a call.
fn last(body: &Value) -> Option<Done> {
    let messages = body["messages"].as_array()?;
    messages.iter().rev().flat_map(|message| message["content"].as_array().into_iter().flatten().rev()).find_map(
        |block| {
            let name = block["tool_use_id"].as_str()?.strip_prefix(CALL)?.to_owned();
            Some(Done { name, output: block["content"].to_string() })
        },
    )
}
