// The items of two runs side by side, one page of them at a time.

const pairs = data("pairs");
const pictures = data("pictures");
const PAGE = 12;
const view = { q: "", change: "", page: 1 };
const BAD = ["newly_failed", "lost"];

const textOf = (cut) => (Array.isArray(cut) ? cut[0] : cut);

for (const pair of pairs) {
  const labels = [pair.a, pair.b].flatMap((side) => (side?.found ?? []).map(([label]) => label));
  pair.words = [pair.key, ...pair.notes, pair.a?.code, pair.b?.code, ...new Set(labels)].filter(Boolean).join("\n").toLowerCase();
}
const scores = pairs.flatMap((pair) => [pair.a, pair.b]).flatMap((side) => (side?.found ?? []).map(([, score]) => score ?? 0));
const highest = scores.some((score) => score > 1) ? 100 : 1;

function frameOf(side) {
  const frame = el("span", { className: "frame" });
  const picture = pictures[side.answer ?? side.picture];
  if (Array.isArray(picture)) {
    frame.append(el("img", { src: picture[0], width: picture[1], height: picture[2], alt: side.key }));
  } else if (side.state === "failed") {
    frame.append(own(side.code ?? "failed", "none failed"));
  } else if (side.kind === "text") {
    frame.append(own(textOf(side.prediction) ?? "", "none text"));
  } else if (side.kind === "data" || side.kind === "GeoJSON") {
    frame.append(own(textOf(side.prediction) ?? side.summary, "none text"));
  } else {
    frame.append(own(side.summary || picture || side.state, "none"));
  }
  return frame;
}

function bars(side) {
  const list = el("span", { className: "tops" });
  for (const [label, score] of side.found.slice(0, 5)) {
    list.append(el("span", { className: "top" }, own(label, "name"), meter((score ?? 0) / highest, `class-${colour(label) % 8}`),
      el("span", { className: "score", textContent: scored(score) })));
  }
  return list;
}

function summary(side) {
  if (side.state !== "succeeded") return side.message ? `${side.state}: ${textOf(side.message)}` : side.state;
  if (side.kind !== "detections") return side.kind === "text" ? "" : side.summary ?? "";
  if (!side.of) return "nothing found";
  const counts = new Map();
  for (const [label] of side.found) counts.set(label || "(no label)", (counts.get(label || "(no label)") ?? 0) + 1);
  const told = [...counts].slice(0, 6).map(([label, count]) => (count > 1 ? `${count} × ${label}` : label));
  return told.join(", ") + (counts.size > 6 ? " …" : "");
}

function figureOf(side, name) {
  if (!side) return el("figure", {}, el("figcaption", { textContent: `${name}: not in this run` }));
  const frame = frameOf(side);
  const figure = el("figure", {}, el("figcaption", { textContent: name }), frame);
  if (side.kind === "classes" && side.found.length) figure.append(bars(side));
  else figure.append(own(summary(side), side.state === "failed" ? "sub failed" : "sub"));
  if (side.show) figure.append(el("details", {}, el("summary", { className: "soft", textContent: "All of it" }), command(side.show)));
  keepDrawn(frame, side, 0, 30);
  return figure;
}

function rowOf(pair) {
  const kind = BAD.includes(pair.change) ? "change bad-change" : "change";
  return el("li", { className: "pair" },
    el("h3", {}, own(pair.key), el("span", { className: kind, textContent: pair.label })),
    el("p", { className: "notes" }, own(pair.notes.join(" · "))),
    el("div", { className: "sides" }, figureOf(pair.a, "A"), figureOf(pair.b, "B")));
}

function chosen() {
  const words = view.q.toLowerCase().split(/\s+/);
  return pairs.filter((pair) => (!view.change || pair.change === view.change) && words.every((word) => pair.words.includes(word)));
}

function show() {
  const listed = chosen();
  const pages = Math.max(1, Math.ceil(listed.length / PAGE));
  view.page = Math.min(view.page, pages);
  const first = (view.page - 1) * PAGE;
  const list = byId("list");
  forget(list);
  list.replaceChildren(...listed.slice(first, first + PAGE).map(rowOf));
  byId("pager").hidden = pages === 1;
  byId("before").disabled = view.page === 1;
  byId("after").disabled = view.page === pages;
  byId("where").textContent = `Page ${view.page} of ${pages}`;
  byId("told").textContent = listed.length ? counted(listed.length, "item") : "No item fits. Take something out of the filter, or reset it.";
}

function change(changes) {
  Object.assign(view, { page: 1, ...changes });
  byId("f-change").value = view.change;
  show();
}

const kinds = new Map();
for (const pair of pairs) kinds.set(pair.change, [pair.label, (kinds.get(pair.change)?.[1] ?? 0) + 1]);
byId("f-change").replaceChildren(el("option", { value: "", textContent: "any" }),
  ...[...kinds].map(([value, [label, count]]) => el("option", { value, textContent: `${label} (${count})` })));
byId("filter").hidden = false;
byId("f-text").addEventListener("input", () => change({ q: byId("f-text").value.trim() }));
byId("f-change").addEventListener("change", (event) => change({ change: event.target.value }));
byId("filter").addEventListener("submit", (event) => event.preventDefault());
byId("filter").addEventListener("reset", (event) => {
  event.preventDefault();
  byId("f-text").value = "";
  change({ q: "", change: "" });
});
function turn(by) {
  view.page += by;
  show();
  byId("pairs-section").scrollIntoView();
}
byId("before").addEventListener("click", () => turn(-1));
byId("after").addEventListener("click", () => turn(1));
document.addEventListener("click", (event) => {
  const button = event.target.closest("button.copy");
  if (button) copy(button.previousElementSibling, button);
});
show();
