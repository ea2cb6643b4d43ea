//! The Responses API: one answer as a stream of events, with a text or one call of a tool.

use super::http::Reply;
use super::task::{Done, Step, Task};
use serde_json::{Value, json};

/// Calls are named so; the step follows.
const CALL: &str = "call_agentbox_";

/// The step that an answer to this asks for.
pub(super) fn step(task: &Task, body: &Value) -> Step {
    task.next(last(body).as_ref())
}

pub(super) fn responses(task: &Task, body: &Value) -> Reply {
    let item = item(task, step(task, body), &tools(body));
    let response = |status: &str, output: Value| {
        json!({
            "id": "resp_agentbox", "object": "response", "created_at": 0, "status": status,
            "model": body["model"], "output": output,
            "usage": { "input_tokens": 1, "input_tokens_details": { "cached_tokens": 0 }, "output_tokens": 1,
                "output_tokens_details": { "reasoning_tokens": 0 }, "total_tokens": 2 },
        })
    };
    Reply::events(&[
        json!({ "type": "response.created", "response": response("in_progress", json!([])) }),
        json!({ "type": "response.output_item.added", "output_index": 0, "item": item }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": response("completed", json!([item])) }),
    ])
}

/// Names of the tools that the client offers.
fn tools(body: &Value) -> Vec<String> {
    let tools = body["tools"].as_array().into_iter().flatten();
    tools.filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect()
}

fn item(task: &Task, step: Step, tools: &[String]) -> Value {
    let id = format!("{CALL}{}", step.name());
    let shell = |line: &str| {
        let (name, arguments) = if tools.iter().any(|name| name == "exec_command") {
            ("exec_command", json!({ "cmd": line }))
        } else if tools.iter().any(|name| name == "shell_command") {
            ("shell_command", json!({ "command": line }))
        } else {
            ("shell", json!({ "command": ["sh", "-c", line] }))
        };
        json!({ "type": "function_call", "id": format!("fc_{}", step.name()), "call_id": id,
            "name": name, "arguments": arguments.to_string(), "status": "completed" })
    };
    let file = task.file.display();
    match step {
        Step::Read => shell(&format!("cat {file}")),
        Step::Edit { wrong, right } => shell(&format!("sed -i 's/{wrong}/{right}/' {file}")),
        Step::Test => shell(&task.test),
        Step::Say(text) => json!({ "type": "message", "id": "msg_agentbox", "role": "assistant",
            "status": "completed", "content": [{ "type": "output_text", "text": text, "annotations": [] }] }),
    }
}

/// The newest result of a call.
fn last(body: &Value) -> Option<Done> {
    body["input"].as_array()?.iter().rev().find_map(|item| {
        let name = item["call_id"].as_str()?.strip_prefix(CALL)?.to_owned();
        let output = item.get("output")?;
        Some(Done { name, output: output.to_string() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_result_decides() {
        let task = Task::example();
        let call = |name: &str| json!({ "type": "function_call", "call_id": format!("{CALL}{name}") });
        let result = |name: &str, text: &str| json!({ "type": "function_call_output", "call_id": format!("{CALL}{name}"), "output": text });
        let mut body = json!({ "input": [
            { "type": "message", "role": "user" }, call("read"), result("read", "return a - b;"),
        ]});
        assert!(matches!(step(&task, &body), Step::Edit { .. }));
        let input = body["input"].as_array_mut().unwrap();
        input.extend([call("edit"), result("edit", ""), call("test"), result("test", "sum is 4")]);
        assert_eq!(step(&task, &body), Step::Say("Repaired: the test passes."));
    }

    #[test]
    fn the_tool_is_one_that_the_client_has() {
        let name = |tools: &[&str]| {
            let tools: Vec<String> = tools.iter().map(ToString::to_string).collect();
            item(&Task::example(), Step::Test, &tools)["name"].as_str().unwrap().to_owned()
        };
        assert_eq!(name(&["apply_patch", "exec_command"]), "exec_command");
        assert_eq!(name(&["shell_command"]), "shell_command");
        assert_eq!(name(&[]), "shell");
    }
}
