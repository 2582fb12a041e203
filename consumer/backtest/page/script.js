"use strict";
// What a script adds to a page that is whole without it: the switch of candidate and segment, thresholds that can be moved, read-outs of charts, tables
// that sort. All text goes in as textContent. Every figure stands in the page already, or in its JSON, or is a difference of two that do.
(() => {
  const all = (selector, under = document) => [...under.querySelectorAll(selector)];
  const byId = id => document.getElementById(id);
  const missing = "–";

  // Numbers as the page writes them (format.go).
  const grouped = text => text.replace(/^-/, "−").replace(/^(−?\d+)/, whole => whole.replace(/\B(?=(\d{3})+$)/g, ","));
  const fixed = (v, decimals) => Number.isFinite(v) ? grouped(v.toFixed(decimals)) : missing;
  const count = n => fixed(n, 0);
  const percent = v => Number.isFinite(v) ? fixed(v * 100, v && Math.abs(v) < 0.000995 ? 3 : v && Math.abs(v) < 0.00995 ? 2 : 1) + "\u00a0%" : missing;
  const money = v => fixed(v, !v || Math.abs(v) >= 1000 ? 0 : 2);
  const score = v => Number.isFinite(v) ? grouped(String(Number(v.toPrecision(4)))) : missing;
  const date = v => new Date(v * 1000).toISOString().slice(0, 10);

  // Read-outs are as exact as a tenth of a pixel is: three digits, on a logarithmic axis two.
  const digits = (v, n) => grouped(String(Number(v.toPrecision(n)))), unit = "\u00a0%";
  const readouts = {rate: v => digits(v, 3), percent: v => fixed(v * 100, 1) + unit, count: v => digits(v, 3), money: v => digits(v, 3), date};
  const logarithmic = {rate: v => "≈ " + digits(v, 2), percent: v => "≈ " + digits(v * 100, 2) + unit, count: v => v < 0.75 ? "0" : "≈ " + digits(v, 2)};

  // The switch: what carries a subject is shown when it is the chosen one, or live.
  const pickCandidate = byId("pick-candidate"), pickSegment = byId("pick-segment");
  const mine = key => {
    const chosen = pickCandidate.value;
    return !chosen || !key || key.split(" ").every(k => k === "live" || k === chosen);
  };
  // The attribute, since parts of a drawing have no property of that name.
  const showSubjects = () => all("[data-subject]").forEach(e => { e.toggleAttribute("hidden", !mine(e.dataset.subject)); });
  const showSegment = () => all("tr[data-segment]").forEach(e => e.classList.toggle("chosen", e.dataset.segment === pickSegment.value));

  // Thresholds that can be moved. A position is an index among the thresholds that the page has figures of, plus one; at 0 nothing is flagged.
  const data = byId("what-if-data") && JSON.parse(byId("what-if-data").textContent);
  const review = byId("review"), reject = byId("reject");
  const current = {set: null, steps: null};
  const none = {orders: 0, frauds: 0, fraud: 0, honest: 0};
  const at = (steps, i) => i ? {orders: steps.o[i - 1], frauds: steps.fr[i - 1], fraud: steps.fa[i - 1], honest: steps.ha[i - 1]} : none;
  const less = (a, b) => ({orders: a.orders - b.orders, frauds: a.frauds - b.frauds, fraud: a.fraud - b.fraud, honest: a.honest - b.honest});
  const positionOf = (steps, threshold) => steps.s.filter(s => s >= threshold).length;
  const scoreAt = position => position ? current.steps.s[position - 1] : Infinity;
  const named = position => position ? score(scoreAt(position)) : "never";

  // choose takes the figures of the candidate and segment that are switched to, and keeps the sliders at the scores where they stood.
  const choose = () => {
    if (!data) return;
    const set = data.subjects.find(s => s.key === pickCandidate.value) || data.subjects[0];
    const segment = pickSegment ? pickSegment.value : "";
    const steps = set.of[segment];
    byId("what-if").hidden = false;
    const label = segment ? pickSegment.selectedOptions[0].textContent : "all orders that count";
    const policy = [["review", set.review], ["reject", set.reject]].filter(([, threshold]) => threshold !== null).map(([action, threshold]) => `${action} from ${score(threshold)}`);
    byId("what-if-of").textContent = `${set.name}; ${label}.` + (steps ? "" : " There are too few figures for it.") +
      (policy.length ? ` Its policy: ${policy.join(", ")}; the sliders go along scores of orders.` : "");
    review.disabled = reject.disabled = !steps;
    if (!steps) return;
    const kept = current.set === set && current.steps ? [scoreAt(+review.value), scoreAt(+reject.value)] : [set.review ?? undefined, set.reject ?? Infinity];
    if (kept[0] === undefined) kept[0] = set.of[""].s[positionOfBudget(set.of[""])] ?? Infinity;
    current.set = set;
    current.steps = steps;
    for (const [slider, threshold] of [[review, kept[0]], [reject, kept[1]]]) {
      slider.max = steps.s.length;
      slider.value = positionOf(steps, threshold);
    }
    moved();
  };
  // Where a policy has no threshold for review, the slider begins where one order in a hundred is flagged.
  const positionOfBudget = steps => Math.max(0, steps.o.filter(o => o <= steps.n / 100).length - 1);

  const moved = () => {
    const {steps, set} = current;
    const flagged = at(steps, +review.value), refused = at(steps, +reject.value), checked = less(flagged, refused);
    const whole = {orders: steps.n, frauds: steps.f, fraud: steps.fm, honest: steps.hm};
    byId("review-at").value = named(+review.value);
    byId("reject-at").value = named(+reject.value);
    review.setAttribute("aria-valuetext", named(+review.value));
    reject.setAttribute("aria-valuetext", named(+reject.value));
    const worth = whole.fraud + whole.honest > 0; // orders have amounts
    const lost = refused.orders - refused.frauds;
    byId("what-if-told").textContent = `Stops ${count(flagged.frauds)} of ${count(whole.frauds)} frauds (${percent(flagged.frauds / whole.frauds)})` +
      (worth ? ` and ${percent(flagged.fraud / whole.fraud)} of fraud money` : "") + `; refuses ${lost ? count(lost) : "no"} honest ${lost === 1 ? "order" : "orders"}` +
      (worth && lost ? ` worth ${money(refused.honest)}` : "") + `; ${fixed(checked.orders / data.days, 1)} reviews a day.`;
    const rows = [["approve", less(whole, flagged)], ["review", checked], ["reject", refused]].map(([action, n]) => {
      const row = document.createElement("tr"), head = document.createElement("th");
      head.scope = "row";
      head.textContent = action;
      row.append(head);
      for (const text of [count(n.orders), fixed(n.orders / data.days, 1), count(n.frauds), money(n.fraud), money(n.honest)]) {
        row.append(Object.assign(document.createElement("td"), {textContent: text}));
      }
      row.dataset.action = action;
      return row;
    });
    byId("what-if-table").tBodies[0].replaceChildren(...rows);
    mark(set.key);
  };

  // mark moves the lines of the subject's own chart.
  const mark = key => {
    const plot = document.querySelector(`#threshold-${key} .plot`);
    if (!plot) return;
    for (const [name, slider] of [["review", review], ["reject", reject]]) {
      const x = +slider.value ? axis(plot.dataset.x, left, right).px(scoreAt(+slider.value)) : NaN;
      plot.querySelector(`.marker.${name}`).setAttribute("d", Number.isFinite(x) ? `M${x} ${top}V${bottom}` : "");
    }
  };

  const wireSliders = () => {
    if (!data) return;
    review.addEventListener("input", () => { if (+reject.value > +review.value) reject.value = review.value; moved(); });
    reject.addEventListener("input", () => { if (+review.value < +reject.value) review.value = reject.value; moved(); });
  };

  // Charts: a curve's points are read from its path, and turned back into values by the axes' ends.
  const [left, right, top, bottom] = document.body.dataset.plot.trim().split(" ").map(Number);
  const axis = (ends, from, to) => {
    const [lo, hi, kind, log] = ends.split(" ");
    const f = log === "true" ? Math.log10 : v => v, back = log === "true" ? v => 10 ** v : v => v, a = f(+lo), b = f(+hi);
    return {px: v => from + (f(v) - a) / (b - a) * (to - from), value: p => back(a + (p - from) / (to - from) * (b - a)), text: (log === "true" ? logarithmic : readouts)[kind]};
  };
  const pointsOf = path => [...path.getAttribute("d").matchAll(/(-?[\d.]+) (-?[\d.]+)/g)].map(m => [+m[1], +m[2]]);
  const nearest = (points, x, y) => points.reduce((best, p) => {
    const d = Math.abs(p[0] - x) * 1000 + Math.abs(p[1] - y);
    return !best || d < best.d ? {d, p} : best;
  }, null);

  const wireChart = figure => {
    const plot = figure.querySelector(".plot"), legend = all(".legend li", figure);
    // Curves are drawn in the opposite order of the legend, the first above the others.
    const curves = all(".plot > g > .curve", figure).reverse().map(pointsOf), outputs = legend.map(l => l.querySelector("output"));
    const dots = all(".plot > g:not(.grid)", figure).reverse().map(g => all("circle", g).map(c => ({x: +c.getAttribute("cx"), text: c.textContent})));
    const x = axis(plot.dataset.x, left, right), y = axis(plot.dataset.y, bottom, top);
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
    cursor.setAttribute("class", "cursor");
    plot.append(cursor);
    const heading = Object.assign(document.createElement("li"), {hidden: true});
    heading.setAttribute("aria-live", "polite");
    figure.querySelector(".legend").prepend(heading);
    let position = NaN;
    // readout is what a curve says at the cursor: of a marked point its words, which are exact.
    const readout = (i, py) => {
      if (!dots[i].length) return y.text(y.value(nearest(curves[i], position, py).p[1]));
      return dots[i].reduce((best, dot) => Math.abs(dot.x - position) < Math.abs(best.x - position) ? dot : best).text;
    };
    const show = (px, py) => {
      const found = curves.map((points, i) => legend[i].hidden ? null : nearest(points, px, py));
      const first = found.filter(Boolean).sort((a, b) => a.d - b.d)[0];
      if (!first) return;
      position = first.p[0];
      cursor.setAttribute("d", `M${position} ${top}V${bottom}`);
      heading.hidden = false;
      heading.textContent = `At ${x.text(x.value(position))}:`;
      found.forEach((f, i) => { outputs[i].value = f ? readout(i, py) : ""; });
    };
    const clear = () => { cursor.setAttribute("d", ""); heading.hidden = true; position = NaN; outputs.forEach(o => { o.value = ""; }); };
    const pointed = event => {
      const box = plot.getBoundingClientRect(), unit = plot.viewBox.baseVal.width / box.width;
      show((event.clientX - box.left) * unit, (event.clientY - box.top) * unit);
    };
    plot.addEventListener("pointermove", pointed);
    plot.addEventListener("pointerdown", pointed);
    plot.addEventListener("pointerleave", event => { if (event.pointerType === "mouse") clear(); });
    plot.setAttribute("tabindex", "0");
    plot.addEventListener("keydown", event => {
      const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (event.key === "Escape") clear();
      if (!by) return;
      event.preventDefault();
      const xs = [...new Set(curves.flatMap((points, i) => legend[i].hidden ? [] : points.map(p => p[0])))].sort((a, b) => a - b);
      const step = (right - left) / 50; // a curve of hundreds of points is walked in fifty steps
      const next = by > 0 ? xs.find(v => !(v < position + (xs.length > 60 ? step : 0.05))) : xs.findLast(v => !(v > position - (xs.length > 60 ? step : 0.05)));
      show(next ?? (by > 0 ? xs.at(-1) : xs[0]), (top + bottom) / 2);
    });
  };

  // Tables: a click on a head sorts by it, large figures first; words sort as words.
  const numberIn = text => {
    const m = text.replace(/,/g, "").replace(/−/g, "-").match(/^\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?(?![\d-])/i);
    return m ? parseFloat(m[0]) : NaN;
  };
  const keyOf = cell => (cell.querySelector("b, .badge") || cell).textContent.trim();
  const wireTable = table => {
    all("thead th", table).forEach(head => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sort(table, head));
    });
  };
  const sort = (table, head) => {
    const body = table.tBodies[0], column = head.cellIndex;
    const rows = [...body.rows].map(row => ({row, text: keyOf(row.cells[column]), number: numberIn(keyOf(row.cells[column]))}));
    const told = rows.filter(r => r.text && r.text !== missing), numeric = told.length > 0 && told.every(r => !Number.isNaN(r.number));
    const before = head.getAttribute("aria-sort"), falling = before ? before === "ascending" : numeric;
    all("thead th", table).forEach(h => h.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const empty = r => !r.text || r.text === missing;
    rows.sort((a, b) => empty(a) - empty(b) || (numeric ? a.number - b.number : a.text.localeCompare(b.text)) * (falling ? -1 : 1));
    body.replaceChildren(...rows.map(r => r.row));
  };

  byId("switch").hidden = false;
  pickCandidate.addEventListener("change", () => { showSubjects(); choose(); });
  if (pickSegment) pickSegment.addEventListener("change", () => { showSegment(); choose(); });
  wireSliders();
  all(".chart").forEach(wireChart);
  all("table").filter(t => !t.matches(".key, .matrix, #what-if-table") && t.tBodies[0].rows.length > 1).forEach(wireTable);
  choose();

  // On paper the changed decisions are as they are on the screen, and figures are open.
  let opened = [];
  window.addEventListener("beforeprint", () => { opened = all("details.print:not([open])"); opened.forEach(d => { d.open = true; }); });
  window.addEventListener("afterprint", () => { opened.forEach(d => { d.open = false; }); });
})();
