// Programs on Anthropic's Node SDK, as github.com/anthropics/anthropic-sdk-typescript shows them.

import Anthropic from "@anthropic-ai/sdk";

const MESSAGES = [{ role: "user", content: "Say hello" }];
const HELLO = { model: "claude", max_tokens: 100, messages: MESSAGES };
const WEATHER = {
  name: "get_weather",
  input_schema: {
    type: "object",
    properties: { place: { type: "string" }, celsius: { type: "boolean" } },
    required: ["place", "celsius"],
  },
};

function client(more = {}) {
  return new Anthropic({
    baseURL: process.env.TOLLHOUSE_URL,
    apiKey: process.env.TOLLHOUSE_KEY,
    ...more,
  });
}

export async function message() {
  const answer = await client().messages.create(HELLO);
  return { model: answer.model, text: answer.content[0].text };
}

export async function stream() {
  let text = "";
  const stream = client().messages.stream(HELLO).on("text", (part) => (text += part));
  const final = await stream.finalMessage();
  return { text, model: final.model, output: final.usage.output_tokens };
}

export async function cancelled() {
  const stream = await client().messages.create({ ...HELLO, stream: true });
  let seen = 0;
  for await (const event of stream) {
    if (event.type === "content_block_delta") seen += 1;
    if (seen === 3) break;
  }
  return seen;
}

export async function tools() {
  const asked = { ...HELLO, tools: [WEATHER] };
  const first = await client().messages.create({ ...asked, tool_choice: { type: "any" } });
  const call = first.content.find((block) => block.type === "tool_use");
  const result = { type: "tool_result", tool_use_id: call.id, content: "18 degrees" };
  const messages = [
    ...MESSAGES,
    { role: "assistant", content: first.content },
    { role: "user", content: [result] },
  ];
  const last = await client().messages.create({ ...asked, messages });
  return { name: call.name, arguments: Object.keys(call.input), text: last.content[0].text };
}

export async function count() {
  const { max_tokens: _, ...asked } = HELLO;
  return (await client().messages.countTokens(asked)).input_tokens;
}

export async function timed() {
  const answer = await client().messages.create(HELLO);
  return answer.content[0].text;
}

export async function error({ model = "claude", ...options }) {
  try {
    await client(options).messages.create({ ...HELLO, model });
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      type: error.error?.error?.type ?? null,
    };
  }
}
