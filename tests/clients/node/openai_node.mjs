// Programs on OpenAI's Node SDK, as github.com/openai/openai-node shows them.

import OpenAI, { toFile } from "openai";

const HELLO = [{ role: "user", content: "Say hello" }];
const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: {
      type: "object",
      properties: { place: { type: "string" }, celsius: { type: "boolean" } },
      required: ["place", "celsius"],
    },
  },
};

function client(more = {}) {
  return new OpenAI({
    baseURL: `${process.env.TOLLHOUSE_URL}/v1`,
    apiKey: process.env.TOLLHOUSE_KEY,
    ...more,
  });
}

async function caught(call) {
  try {
    await call();
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      code: error.code ?? null,
      type: error.type ?? null,
    };
  }
}

export async function chat() {
  const answer = await client().chat.completions.create({ model: "chat", messages: HELLO });
  return { model: answer.model, text: answer.choices[0].message.content };
}

export async function chatStream() {
  const stream = await client().chat.completions.create({
    model: "chat",
    messages: HELLO,
    stream: true,
  });
  const models = new Set();
  let text = "";
  for await (const chunk of stream) {
    models.add(chunk.model);
    text += chunk.choices[0].delta.content ?? "";
  }
  return { models: [...models], text };
}

export async function chatCancelled() {
  const stream = await client().chat.completions.create({
    model: "chat",
    messages: HELLO,
    stream: true,
  });
  let seen = 0;
  for await (const _ of stream) {
    seen += 1;
    if (seen === 3) stream.controller.abort();
  }
  return seen;
}

// The helper that calls the tool by itself and sends back what it returned.
export async function runTools() {
  const asked = [];
  const weather = {
    ...WEATHER.function,
    parse: JSON.parse,
    function: (given) => {
      asked.push(Object.keys(given));
      return "18 degrees";
    },
  };
  const runner = client().chat.completions.runTools({
    model: "chat",
    messages: HELLO,
    tools: [{ type: "function", function: weather }],
  });
  return { text: await runner.finalContent(), asked };
}

export async function vision() {
  const image = { type: "image_url", image_url: { url: "https://example.com/tollhouse.png" } };
  const content = [{ type: "text", text: "What is in this image?" }, image];
  const answer = await client().chat.completions.create({
    model: "chat",
    messages: [{ role: "user", content }],
  });
  return { input: answer.usage.prompt_tokens };
}

export async function structured() {
  const schema = {
    type: "object",
    properties: { zeta: { type: "string" }, alpha: { type: "string" } },
    required: ["zeta", "alpha"],
    additionalProperties: false,
  };
  const answer = await client().chat.completions.parse({
    model: "chat",
    messages: HELLO,
    response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } },
  });
  return Object.keys(JSON.parse(answer.choices[0].message.content));
}

export async function chatTimed(options) {
  const started = performance.now();
  const answer = await client(options).chat.completions.create({ model: "chat", messages: HELLO });
  const seconds = (performance.now() - started) / 1000;
  return { text: answer.choices[0].message.content, seconds };
}

export async function chatError({ model = "chat", ...options }) {
  return caught(() => client(options).chat.completions.create({ model, messages: HELLO }));
}

export async function models() {
  const listed = [];
  for await (const model of client().models.list()) listed.push(model.id);
  return { listed, retrieved: (await client().models.retrieve("chat")).id };
}

export async function embed() {
  const answer = await client().embeddings.create({ model: "embed", input: ["one", "two"] });
  return { model: answer.model, lengths: answer.data.map((one) => one.embedding.length) };
}

export async function respond() {
  const answer = await client().responses.create({ model: "responses", input: "Say hello" });
  return { model: answer.model, text: answer.output_text };
}

export async function respondStream() {
  const stream = await client().responses.create({
    model: "responses",
    input: "Say hello",
    stream: true,
  });
  const kinds = [];
  let text = "";
  for await (const event of stream) {
    kinds.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  return { kinds, text };
}

export async function transcribe() {
  const header = Buffer.alloc(44);
  header.write("RIFF", 0);
  header.writeUInt32LE(36 + 32000, 4);
  header.write("WAVEfmt ", 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(8000, 24);
  header.writeUInt32LE(16000, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write("data", 36);
  header.writeUInt32LE(32000, 40);
  const wave = Buffer.concat([header, Buffer.alloc(32000)]);
  const answer = await client().audio.transcriptions.create({
    model: "transcribe",
    file: await toFile(wave, "hello.wav"),
  });
  return { text: answer.text };
}

export async function draw() {
  const answer = await client().images.generate({ model: "draw", prompt: "A tollhouse" });
  return { images: answer.data.map((image) => image.b64_json.length) };
}
