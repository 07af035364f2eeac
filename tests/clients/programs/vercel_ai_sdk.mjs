// dependencies: ai@7 @ai-sdk/openai@4 @ai-sdk/openai-compatible@3 zod@4
// Vercel's AI SDK: its OpenAI provider (Responses API and chat) and the compatible provider.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { CLIENT_ADDRESS: address, CLIENT_CONVERSATION: conversation } = process.env;
const baseURL = `${address}/v1`;
const headers = (id) => ({ "x-conversation-id": `${conversation}-${id}` });

const models = {
  "": createOpenAICompatible({ name: "memory", baseURL, headers: headers("compatible") })("m"),
  " (chat)": createOpenAI({ baseURL, headers: headers("chat") }).chat("m"),
  " (responses)": createOpenAI({ baseURL, headers: headers("responses") })("m"),
};

const getWeather = tool({
  description: "Return the weather of a city.",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => `4 degrees in ${city}`,
});

const results = {};
for (const [suffix, model] of Object.entries(models)) {
  await generateText({ model, prompt: "My locker at the gym is number 8314." });
  results[`remembers${suffix}`] = (
    await generateText({ model, prompt: "Which locker is mine?" })
  ).text;
  results[`streams${suffix}`] = await streamText({
    model,
    prompt: "And once more: which locker is mine?",
  }).text;
  results[`tools${suffix}`] = (
    await generateText({
      model,
      prompt: "What is the weather in Oslo?",
      tools: { getWeather },
      stopWhen: stepCountIs(3),
    })
  ).text;
}
console.log(JSON.stringify(results));
