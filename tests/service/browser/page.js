// A page in headless Chromium, told what to do by lines of JSON on standard input, one answer each on standard output:
//
//   {"open": URL}                 until it is loaded
//   {"until": SELECTOR, "texts": [TEXT...]}    until the elements have just these texts
//   {"click": SELECTOR}
//   {"type": SELECTOR, "text": TEXT}    and Enter
//   {"picture": FILE}             of the whole page
//   {"complaints": true}          what the page wrote to its console as errors, threw, or could not load, since this was last asked
//
// An answer is {"value": ...} or {"error": MESSAGE}. The browser ends with standard input.
//
// Usage: node page.js CHROMIUM

import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import { chromium } from "playwright-core";

const PATIENCE = 60_000;

const options = {
  executablePath: process.argv[2],
  // Nothing but the page is visited, and it is ours: the sandbox, which needs rights that a container may not have, guards nothing here.
  chromiumSandbox: false,
  args: ["--disable-gpu", "--disable-quic"],
};
const browser = await chromium.launch(options).catch((error) => {
  // Of all that it says, what Chromium said itself.
  const said = error.message.split("\n").filter((line, number) => number === 0 || line.includes("[err]"));
  console.log(JSON.stringify({ error: said.join("\n") }));
  process.exit(1);
});
const page = await browser.newPage({ viewport: { width: 1280, height: 830 }, deviceScaleFactor: 1.5, locale: "en", timezoneId: "UTC" });
page.setDefaultTimeout(PATIENCE);

let complaints = [];
page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("requestfailed", (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`));

const commands = {
  open: (url) => page.goto(url),
  // Asked from here: the page allows nobody to evaluate a string in it.
  until: async (selector, { texts }) => {
    const wanted = JSON.stringify(texts);
    const end = Date.now() + PATIENCE;
    for (;;) {
      const found = JSON.stringify(await page.locator(selector).allTextContents());
      if (found === wanted) {
        return;
      }
      if (Date.now() > end) {
        throw new Error(`${selector} has ${found}, not ${wanted}`);
      }
      await setTimeout(50);
    }
  },
  click: (selector) => page.click(selector),
  type: async (selector, { text }) => {
    await page.fill(selector, text);
    await page.press(selector, "Enter");
  },
  picture: (path) => page.screenshot({ path, fullPage: true, animations: "disabled" }),
  complaints: () => {
    const told = complaints;
    complaints = [];
    return told;
  },
};

console.log(JSON.stringify({ value: browser.version() }));
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  const [name, argument] = Object.entries(command)[0];
  try {
    const value = await commands[name](argument, command);
    console.log(JSON.stringify({ value: name === "complaints" ? value : null }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}
await browser.close();
