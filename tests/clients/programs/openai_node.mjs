// dependencies: openai@7
// openai-node: chat completions, stream, tools, responses.
import OpenAI from "openai";

const { CLIENT_ADDRESS: address, CLIENT_CONVERSATION: conversation } = process.env;

const client = (id) =>
  new OpenAI({ baseURL: `${address}/v1`, defaultHeaders: { "x-conversation-id": id } });

const weather = {
  name: "get_weather",
  description: "Return the weather of a city.",
  parameters: { type: "object", properties: { city: { type: "string" } } },
};

const ask = (text, fields = {}) =>
  client(conversation).chat.completions.create({
    model: "m",
    messages: [{ role: "user", content: text }],
    ...fields,
  });

await ask("My locker at the gym is number 8314.");
const remembered = await ask("Which locker is mine?");

let streamed = "";
for await (const chunk of await ask("And once more: which locker is mine?", { stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}

const runner = client(conversation).chat.completions.runTools({
  model: "m",
  messages: [{ role: "user", content: "What is the weather in Oslo?" }],
  tools: [
    {
      type: "function",
      function: { ...weather, parse: JSON.parse, function: ({ city }) => `4 degrees in ${city}` },
    },
  ],
});
const tools = await runner.finalContent();

const responses = client(`${conversation}-responses`).responses;
const first = await responses.create({ model: "m", input: "My locker at the gym is number 8314." });
const second = await responses.create({
  model: "m",
  input: "Which locker is mine?",
  previous_response_id: first.id,
});
let streamedResponse = "";
for await (const event of await responses.create({
  model: "m",
  input: "Which locker is mine?",
  stream: true,
})) {
  if (event.type === "response.output_text.delta") streamedResponse += event.delta;
}

console.log(
  JSON.stringify({
    remembers: remembered.choices[0].message.content,
    streams: streamed,
    tools,
    "remembers (responses)": second.output_text,
    "streams (responses)": streamedResponse,
  }),
);
