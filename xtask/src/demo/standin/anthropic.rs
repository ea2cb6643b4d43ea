//! The Messages API: one answer as a stream of events, with a text or one call of a tool.

use super::http::Reply;
use super::task::{Done, Step, Task};
use serde_json::{Value, json};

/// Calls are named so; the step follows.
const CALL: &str = "toolu_agentbox_";

/// The step that an answer to this asks for.
pub(super) fn step(task: &Task, body: &Value) -> Step {
    // Besides the conversation a client asks for titles and summaries, without tools.
    let has_tools = body["tools"].as_array().is_some_and(|tools| !tools.is_empty());
    if has_tools { task.next(last(body).as_ref()) } else { Step::Say("A sum") }
}

pub(super) fn messages(task: &Task, body: &Value) -> Reply {
    let content = Content::of(task, step(task, body));
    let message = |content: Value, stop: Value| {
        json!({
            "id": "msg_agentbox", "type": "message", "role": "assistant", "model": body["model"],
            "content": content, "stop_reason": stop, "stop_sequence": null,
            "usage": { "input_tokens": 1, "output_tokens": 1 },
        })
    };
    if !body["stream"].as_bool().unwrap_or(false) {
        return Reply::json(&message(json!([content.whole]), json!(content.stop)));
    }
    let mut events = vec![
        json!({ "type": "message_start", "message": message(json!([]), Value::Null) }),
        json!({ "type": "content_block_start", "index": 0, "content_block": content.begin }),
    ];
    let delta = |delta| json!({ "type": "content_block_delta", "index": 0, "delta": delta });
    events.extend(content.deltas.into_iter().map(delta));
    events.extend([
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": content.stop, "stop_sequence": null },
            "usage": { "output_tokens": 1 } }),
        json!({ "type": "message_stop" }),
    ]);
    Reply::events(&events)
}

/// The one block of an answer.
struct Content {
    whole: Value,
    /// As it begins in a stream, and what is added to it.
    begin: Value,
    deltas: [Value; 2],
    /// Why the answer ends behind it.
    stop: &'static str,
}

impl Content {
    fn of(task: &Task, step: Step) -> Self {
        if let Some((name, input)) = tool(task, step) {
            let block = |input: &Value| json!({ "type": "tool_use", "id": format!("{CALL}{}", step.name()), "name": name, "input": input });
            let delta = |json| json!({ "type": "input_json_delta", "partial_json": json });
            let deltas = halves(&input.to_string()).map(delta);
            return Self { whole: block(&input), begin: block(&json!({})), deltas, stop: "tool_use" };
        }
        let text = if let Step::Say(text) = step { text } else { "" };
        let block = |text| json!({ "type": "text", "text": text });
        let deltas = halves(text).map(|text| json!({ "type": "text_delta", "text": text }));
        Self { whole: block(text), begin: block(""), deltas, stop: "end_turn" }
    }
}

/// In two pieces, as a real service sends a text.
fn halves(text: &str) -> [String; 2] {
    let middle = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (first, second) = text.split_at(middle);
    [first.to_owned(), second.to_owned()]
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
    messages
        .iter()
        .rev()
        .flat_map(|message| message["content"].as_array().into_iter().flatten().rev())
        .find_map(|block| {
            let name = block["tool_use_id"].as_str()?.strip_prefix(CALL)?.to_owned();
            Some(Done { name, output: block["content"].to_string() })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_result_decides() {
        let task = Task::example();
        let result = |name: &str, text: &str| {
            json!({ "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": format!("{CALL}{name}"), "content": text },
            ]})
        };
        let mut body = json!({ "tools": [{ "name": "Read" }], "messages": [
            { "role": "user", "content": "repair it" }, result("read", "return a - b;"),
        ]});
        assert!(matches!(step(&task, &body), Step::Edit { .. }));
        body["messages"].as_array_mut().unwrap().push(result("edit", "updated"));
        assert_eq!(step(&task, &body), Step::Test);
        body["tools"] = json!([]);
        assert!(matches!(step(&task, &body), Step::Say(_)));
    }

    #[test]
    fn the_pieces_of_a_call_make_its_input() {
        let content = Content::of(&Task::example(), Step::Read);
        let text: String = content.deltas.iter().filter_map(|delta| delta["partial_json"].as_str()).collect();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "file_path": "/project/sum.c" }));
        assert_eq!((content.begin["input"].clone(), content.stop), (json!({}), "tool_use"));
    }
}
