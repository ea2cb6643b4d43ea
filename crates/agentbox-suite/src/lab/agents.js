'use strict';
// Stands in for the services of agents: whoever asks `run: COMMAND` is told to call the tool for commands with it,
// and when its result arrives, the conversation ends with that result.
const CALL = 'call_lab';
const text = (value) => (typeof value === 'string' ? value : JSON.stringify(value === undefined ? '' : value));
const said = (result) => `the tool said: ${text(result)}`;

// The command of the newest message that has one. Agents put words of their own around what they were asked.
function command(body) {
  const found = [...JSON.stringify(body).matchAll(/run: (.*?);;/g)].pop();
  return found ? JSON.parse(`"${found[1]}"`) : undefined;
}

function events(list, named) {
  return list.map((event) => `${named ? `event: ${event.type}\n` : ''}data: ${JSON.stringify(event)}\n\n`).join('');
}

const stream = (body) => ({ type: 'text/event-stream', body });
const whole = (value) => ({ type: 'application/json', body: JSON.stringify(value) });

// The Messages API.
function messages(body) {
  const tool = (body.tools || []).find(({ name }) => name.toLowerCase() === 'bash');
  const blocks = (body.messages || []).flatMap(({ content }) => (Array.isArray(content) ? content : []));
  const result = blocks.filter(({ type }) => type === 'tool_result').pop();
  const wanted = command(body.messages);
  const calls = tool && wanted && !result;
  const input = { command: wanted, description: 'Runs it' };
  const block = calls ? { type: 'tool_use', id: CALL, name: tool.name, input }
    : { type: 'text', text: result ? said(result.content) : 'nothing to do' };
  const message = (content, stop) => ({ id: 'msg_lab', type: 'message', role: 'assistant', model: body.model, content,
    stop_reason: stop, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } });
  const stop = calls ? 'tool_use' : 'end_turn';
  if (!body.stream) return whole(message([block], stop));
  const begin = calls ? { ...block, input: {} } : { type: 'text', text: '' };
  const delta = calls ? { type: 'input_json_delta', partial_json: JSON.stringify(input) } : { type: 'text_delta', text: block.text };
  return stream(events([{ type: 'message_start', message: message([], null) },
    { type: 'content_block_start', index: 0, content_block: begin }, { type: 'content_block_delta', index: 0, delta },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: stop, stop_sequence: null }, usage: { output_tokens: 1 } },
    { type: 'message_stop' }], true));
}

// The Responses API.
function responses(body) {
  const items = Array.isArray(body.input) ? body.input : [];
  const result = items.filter(({ type }) => type === 'function_call_output').pop();
  const names = (body.tools || []).map(({ name }) => name);
  const wanted = command(body.input);
  let item = { type: 'message', id: 'msg_lab', role: 'assistant', status: 'completed',
    content: [{ type: 'output_text', text: result ? said(result.output) : 'nothing to do', annotations: [] }] };
  if (wanted && !result) {
    const [name, given] = names.includes('exec_command') ? ['exec_command', { cmd: wanted }]
      : names.includes('shell_command') ? ['shell_command', { command: wanted }]
        : ['shell', { command: ['sh', '-c', wanted] }];
    item = { type: 'function_call', id: 'fc_lab', call_id: CALL, name, arguments: JSON.stringify(given), status: 'completed' };
  }
  const response = (status, output) => ({ id: 'resp_lab', object: 'response', created_at: 0, status, model: body.model, output,
    usage: { input_tokens: 1, input_tokens_details: { cached_tokens: 0 }, output_tokens: 1,
      output_tokens_details: { reasoning_tokens: 0 }, total_tokens: 2 } });
  return stream(events([{ type: 'response.created', response: response('in_progress', []) },
    { type: 'response.output_item.added', output_index: 0, item }, { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response: response('completed', [item]) }], true));
}

// The API of Gemini.
function contents(body, streamed) {
  const parts = (body.contents || []).flatMap((content) => content.parts || []);
  const result = parts.filter((part) => part.functionResponse).pop();
  const has = JSON.stringify(body.tools || []).includes('"run_shell_command"');
  const wanted = command(body.contents);
  const part = has && wanted && !result
    ? { functionCall: { name: 'run_shell_command', args: { command: wanted, description: 'Runs it' } } }
    : { text: result ? said(result.functionResponse.response) : 'nothing to do' };
  const answer = { candidates: [{ index: 0, content: { role: 'model', parts: [part] }, finishReason: 'STOP' }],
    usageMetadata: { promptTokenCount: 1, candidatesTokenCount: 1, totalTokenCount: 2 }, modelVersion: 'lab' };
  return streamed ? stream(events([answer], false)) : whole(answer);
}

// What is answered to a question of an agent; nothing when it is none.
module.exports = function agents(method, path, bytes) {
  if (method !== 'POST') return undefined;
  const body = () => { try { return JSON.parse(bytes); } catch { return {}; } };
  if (path === '/v1/messages') return messages(body());
  if (path === '/v1/messages/count_tokens') return whole({ input_tokens: 1 });
  if (path === '/v1/responses') return responses(body());
  const gemini = /^\/v1beta\/models\/[^/]+:(\w+)$/.exec(path);
  if (!gemini) return undefined;
  if (gemini[1] === 'countTokens') return whole({ totalTokens: 1 });
  return contents(body(), gemini[1] === 'streamGenerateContent');
};
