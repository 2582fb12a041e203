// report.html in a real browser. run.sh writes the pages into PAGES, and their reports beside them: what the page shows is held against those.
import {after, before, test} from "node:test";
import assert from "node:assert/strict";
import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {chromium} from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const address = name => `file://${process.env.PAGES}/${name}.html`;
const reportOf = name => JSON.parse(readFileSync(`${process.env.PAGES}/${name}.json`, "utf8"));
const pages = ["fortnight", "year", "hostile", "bare"];
const desktop = {viewport: {width: 1200, height: 900}}, phone = {viewport: {width: 360, height: 740}, hasTouch: true, isMobile: true, deviceScaleFactor: 2};

let browser;
before(async () => { browser = await chromium.launch({executablePath: process.env.CHROMIUM, args: ["--no-sandbox"]}); });
after(() => browser.close());

// open gives a page and what it did that a page of ours does not: words on the console, errors, dialogs, requests. The network is off.
const open = async (t, name, options = desktop) => {
  const context = await browser.newContext({offline: true, ...options});
  t.after(() => context.close());
  const page = await context.newPage(), wrong = [];
  page.on("console", message => wrong.push(`console: ${message.text()}`));
  page.on("pageerror", error => wrong.push(`error: ${error.message}`));
  page.on("dialog", dialog => { wrong.push(`dialog: ${dialog.message()}`); return dialog.dismiss(); });
  page.on("requestfailed", request => wrong.push(`failed: ${request.url()}: ${request.failure().errorText}`));
  page.on("request", request => { if (request.url() !== address(name)) wrong.push(`request: ${request.url()}`); });
  await page.goto(address(name));
  return {page, wrong};
};

const photograph = async (page, name) => {
  if (process.env.SCREENSHOTS) await page.screenshot({path: `${process.env.SCREENSHOTS}/${name}.png`, fullPage: true});
};

// Text of the page as figures, and figures as the page writes them.
const figure = text => Number(text.replace(/[,%\u00a0\s]/g, "").replace("−", "-"));
const grouped = n => String(n).replace(/\B(?=(\d{3})+$)/g, ",");

for (const name of pages) {
  for (const [device, options] of Object.entries({"desktop, light": desktop, "phone, dark": {...phone, colorScheme: "dark"}})) {
    test(`${name} opens without a word on the console and without a request: ${device}`, async t => {
      const {page, wrong} = await open(t, name, options);
      await page.mouse.move(200, 300);
      await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
      const [wide, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      assert.ok(wide <= seen, `the page is ${wide} pixels wide on a screen of ${seen}`);
      assert.deepEqual(wrong, []);
      await photograph(page, `${name}-${device.replace(", ", "-")}`);
    });
  }
}

for (const name of ["fortnight", "bare"]) {
  for (const colorScheme of ["light", "dark"]) {
    test(`${name} is for everyone (axe, WCAG 2.2 AA): ${colorScheme}`, async t => {
      const {page} = await open(t, name, {...desktop, colorScheme});
      await page.evaluate(() => document.querySelectorAll("details").forEach(d => { d.open = true; }));
      await page.evaluate(axe);
      const {violations} = await page.evaluate(() => window.axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}));
      assert.deepEqual(violations.map(v => `${v.id}: ${v.nodes.length} × ${v.nodes[0].html.slice(0, 200)} ${v.nodes[0].failureSummary}`), []);
    });
  }
}

// five is a score in five digits, rounded down, as the page has it.
const five = v => {
  const short = Number(v.toPrecision(5));
  return short <= v || short === 0 ? short : Number((short - 10 ** (Math.floor(Math.log10(Math.abs(short))) - 4)).toPrecision(5));
};

// slide moves a slider as a hand does.
const slide = (page, id, value) => page.locator(id).evaluate((e, v) => { e.value = v; e.dispatchEvent(new Event("input", {bubbles: true})); }, value);
const table = page => page.locator("#what-if-table tbody tr").evaluateAll(rows => Object.fromEntries(rows.map(r => [r.cells[0].textContent, [...r.cells].slice(1).map(c => c.textContent)])));

test("the sliders recompute what is approved, reviewed and rejected", async t => {
  const {page, wrong} = await open(t, "fortnight");
  const report = reportOf("fortnight"), f = report.candidates[0], at = f.thresholds, days = report.period.days;
  for (const [reject, review] of [[0, 0], [0, at.length], [3, 40], [at.length, at.length], [17, 17]]) {
    await slide(page, "#reject", 0);
    await slide(page, "#review", review);
    await slide(page, "#reject", reject);
    const none = {orders: 0, frauds: 0, fraud_amount: 0, honest_amount: 0}, flagged = review ? at[review - 1] : none, refused = reject ? at[reject - 1] : none;
    const whole = {orders: f.orders, frauds: f.frauds, fraud_amount: report.period.fraud_amount, honest_amount: report.period.amount - report.period.fraud_amount};
    const shown = await table(page);
    for (const [action, more, less] of [["approve", whole, flagged], ["review", flagged, refused], ["reject", refused, none]]) {
      const [orders, daily, frauds, fraud, honest] = shown[action].map(figure);
      assert.equal(orders, more.orders - less.orders, `${action}: orders with thresholds ${reject}, ${review}`);
      assert.equal(frauds, more.frauds - less.frauds, `${action}: frauds`);
      assert.ok(Math.abs(daily - (more.orders - less.orders) / days) <= 0.051, `${action}: a day`);
      for (const [got, part] of [[fraud, "fraud_amount"], [honest, "honest_amount"]]) {
        const want = more[part] - less[part];
        assert.ok(Math.abs(got - want) <= (Math.abs(want) < 1000 ? 0.011 : 0.51), `${action}: ${part} is ${got}, not ${want}`);
      }
    }
    const told = await page.locator("#what-if-told").textContent();
    assert.ok(told.startsWith(`Stops ${flagged.frauds} of ${f.frauds} frauds`), told);
    assert.equal(await page.locator("#review-at").textContent(), review ? String(Number(five(at[review - 1].score).toPrecision(4))) : "never");
  }
  assert.deepEqual(wrong, []);
});

test("the sliders begin at the policy's thresholds, never cross, and follow the keyboard", async t => {
  const {page} = await open(t, "fortnight");
  const f = reportOf("fortnight").candidates[0], from = threshold => f.thresholds.filter(s => s.score >= threshold).length;
  assert.equal(await page.locator("#review").inputValue(), String(from(f.review_threshold)));
  assert.equal(await page.locator("#reject").inputValue(), String(from(f.reject_threshold)));
  await page.locator("#reject").focus();
  await page.keyboard.press("End");
  assert.equal(await page.locator("#review").inputValue(), String(f.thresholds.length), "the review slider gives way");
  await page.keyboard.press("ArrowLeft");
  assert.equal(await page.locator("#reject").inputValue(), String(f.thresholds.length - 1));
  assert.match(await page.locator("#reject").getAttribute("aria-valuetext"), /^[\d.e−+]+$/);
  assert.match(await page.locator("#threshold-0 .marker.reject").getAttribute("d"), /^M[\d.]+ /);
});

test("curves have the bands of their intervals", async t => {
  const {page} = await open(t, "fortnight");
  for (const id of ["roc", "pr"]) {
    assert.ok(await page.locator(`#${id} path.band`).count() > 0, `${id} has no band`);
  }
});

test("a segment has its own figures", async t => {
  const {page} = await open(t, "year");
  const report = reportOf("year");
  await page.selectOption("#pick-candidate", "1");
  await page.selectOption("#pick-segment", "0.2");
  const value = report.segments[0].values[2], at = value.candidates[1].thresholds, sum = Object.values(await table(page)).reduce((n, r) => n + figure(r[0]), 0);
  assert.equal(sum, value.candidates[1].orders);
  const middle = at.length >> 1;
  await slide(page, "#review", middle);
  assert.ok((await page.locator("#what-if-told").textContent()).startsWith(`Stops ${at[middle - 1].frauds} of ${value.frauds} frauds`));
  assert.ok((await page.locator("#what-if-of").textContent()).includes(report.candidates[1].name));
  assert.equal(await page.locator("tr.chosen:visible").count(), 2, "the segment's rows of the candidate and of live stand out");
});

test("the switch leaves the chosen candidate and live", async t => {
  const {page} = await open(t, "year");
  assert.equal(await page.locator("#roc .legend li[data-subject]:visible").count(), 4);
  await page.selectOption("#pick-candidate", "2");
  assert.deepEqual(await page.locator("#roc .legend li[data-subject]:visible").evaluateAll(e => e.map(x => x.dataset.subject)), ["2", "live"]);
  assert.deepEqual(await page.locator("#roc .plot g[data-subject]:visible").evaluateAll(e => e.map(x => x.dataset.subject)), ["live", "2"], "the chosen one above live");
  assert.equal(await page.locator("#flips details[data-subject]:visible").count(), 1);
  await page.selectOption("#pick-candidate", "");
  assert.equal(await page.locator("#roc .legend li[data-subject]:visible").count(), 4);
});

test("charts are read out under the pointer and by the arrow keys", async t => {
  const {page} = await open(t, "fortnight");
  const plot = page.locator("#pr .plot"), said = page.locator("#pr .legend li.s0 output"), heading = page.locator("#pr .legend li[aria-live]");
  await plot.scrollIntoViewIfNeeded();
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * (54 + 0.6 * (416 - 54)) / 440, box.y + box.height / 2);
  const recall = figure((await heading.textContent()).match(/At (.*):/)[1]) / 100, precision = figure(await said.textContent()) / 100;
  const points = reportOf("fortnight").candidates[0].pr.filter(p => Math.abs(p.x - recall) < 0.002).map(p => p.y);
  assert.ok(Math.abs(recall - 0.6) < 0.02, `at ${recall}`);
  assert.ok(points.some(y => Math.abs(y - precision) < 0.005), `${precision} is none of ${points}`);
  await page.locator("#day-orders .plot").focus();
  await page.keyboard.press("ArrowRight");
  const day = reportOf("fortnight").candidates[0].days[0];
  assert.equal(await page.locator("#day-orders .legend li.s0 output").textContent(), `2 Apr: ${(100 * day.precision[1]).toFixed(1)}\u00a0%`);
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#day-orders .legend li.s0 output").textContent(), "");
});

test("tables sort by figures and by words", async t => {
  const {page} = await open(t, "year");
  const column = n => page.locator("#segments table").first().locator("tbody tr").evaluateAll((rows, i) => rows.map(r => r.cells[i].textContent), n);
  const head = n => page.locator("#segments table").first().locator("thead button").nth(n);
  await head(1).click();
  const orders = (await column(1)).map(figure);
  assert.deepEqual(orders, [...orders].sort((a, b) => b - a));
  await head(1).click();
  assert.deepEqual((await column(1)).map(figure), [...orders].sort((a, b) => a - b));
  await head(0).focus();
  await page.keyboard.press("Enter");
  const words = await column(0);
  assert.deepEqual(words, [...words].sort((a, b) => a.localeCompare(b)));
  assert.equal(await page.locator("#segments table").first().locator("thead th").first().getAttribute("aria-sort"), "ascending");
});

test("without a script all tables and charts are there", async t => {
  const {page} = await open(t, "year", {...desktop, javaScriptEnabled: false});
  assert.equal(await page.locator("#switch").isVisible(), false);
  assert.equal(await page.locator("#what-if").isVisible(), false);
  assert.ok(await page.locator(".plot:visible").count() >= 15);
  assert.ok((await page.locator("#roc .curve").first().getAttribute("d")).length > 200);
  assert.equal(await page.locator("#roc > .plot > g > .curve").count(), 4);
  await page.locator("#days summary").click();
  assert.equal(await page.locator("#days details tbody tr:visible").count(), reportOf("year").candidates[0].days.length);
});

test("hostile text stays text", async t => {
  const {page, wrong} = await open(t, "hostile");
  await page.selectOption("#pick-segment", "0.1");
  await page.selectOption("#pick-candidate", "1");
  const foreign = await page.evaluate(() => [...document.querySelectorAll("img, iframe, object, embed, link, base, b > script")].length +
    [...document.querySelectorAll("*")].filter(e => [...e.attributes].some(a => /^on|^style$|^srcdoc$/.test(a.name))).length);
  assert.equal(foreign, 0);
  assert.equal(await page.locator("script").count(), 2);
  const report = reportOf("hostile"), id = report.comparisons[0].examples_by_amount[0].order_id.replace(/[\u0000-\u001f\u202e\u2066\u2028]/g, "\ufffd");
  assert.equal(await page.locator("#flips .id").first().textContent(), id.length > 160 ? id.slice(0, 160) + "…" : id);
  assert.equal(await page.locator("h1").textContent(), `Backtest of ${report.candidates[0].name}`);
  assert.deepEqual(wrong, []);
});

test("the policy lets no other script and no request through", async t => {
  const {page, wrong} = await open(t, "fortnight");
  await page.evaluate(() => {
    const script = document.createElement("script"), image = document.createElement("img");
    script.textContent = "window.ran = true";
    image.src = "https://example.com/beacon.png";
    document.body.append(script, image);
  });
  await page.waitForFunction(() => true);
  assert.equal(await page.evaluate(() => window.ran), undefined);
  assert.ok(wrong.some(w => /Content Security Policy/.test(w)), wrong.join("\n"));
  assert.ok(wrong.includes("failed: https://example.com/beacon.png: csp"), "the request came to the network: " + wrong.join("\n"));
});

test("on paper it is light, open and without controls", async t => {
  const {page, wrong} = await open(t, "fortnight", {...desktop, colorScheme: "dark"});
  await page.emulateMedia({media: "print"});
  assert.equal(await page.evaluate(() => getComputedStyle(document.body).backgroundColor), "rgb(255, 255, 255)");
  assert.equal(await page.locator("#switch").isVisible(), false);
  const pdf = await page.pdf({preferCSSPageSize: true, printBackground: true});
  assert.equal(pdf.subarray(0, 5).toString(), "%PDF-");
  const sheets = pdf.toString("latin1").match(/\/Type\s*\/Page\b/g).length;
  assert.ok(sheets >= 3 && sheets <= 25, `${sheets} sheets`);
  assert.match(pdf.toString("latin1"), /\/MediaBox \[0 0 59[45][.\d]* 84[12][.\d]*\]/, "A4");
  if (process.env.SCREENSHOTS) await page.pdf({path: `${process.env.SCREENSHOTS}/fortnight.pdf`, preferCSSPageSize: true, printBackground: true});
  assert.deepEqual(wrong, []);
});

test("every page is below a megabyte", () => {
  for (const name of pages) {
    const size = readFileSync(`${process.env.PAGES}/${name}.html`).length;
    assert.ok(size < 1_000_000, `${name} is ${grouped(size)} bytes`);
  }
});
