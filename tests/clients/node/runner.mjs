// Runs the programs of one module, one for each line of standard input (tests/clients/client.py).
// A program is an async function that returns what it got as JSON can say it.

import readline from "node:readline";

const programs = await import(`./${process.argv[2]}.mjs`);

async function run({ program, arguments: given }) {
  try {
    return { got: (await programs[program](given)) ?? null };
  } catch (error) {
    return { failed: error.stack };
  }
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  process.env.TOLLHOUSE_KEY = asked.key;
  process.stdout.write(`${JSON.stringify(await run(asked))}\n`);
}
