// The gallery: one page of cards at a time.

let listed = [];

function frameOf(item, name) {
  const frame = el("span", { className: "frame" });
  const picture = pictures[name];
  if (Array.isArray(picture)) {
    frame.append(el("img", { src: picture[0], width: picture[1], height: picture[2], alt: "" }));
  } else if (item.state === "failed") {
    frame.append(own(item.code ?? "failed", "none failed"));
  } else if (item.kind === "text" && item.summary) {
    frame.append(own(item.summary, "none text"));
  } else {
    frame.append(own(item.summary || picture || item.state, "none"));
  }
  return frame;
}

function summary(item) {
  if (item.state !== "succeeded") return item.code ? `${item.state}: ${item.code}` : item.state;
  if (item.kind === "detections") {
    if (!item.of) return "nothing found";
    const counts = new Map();
    for (const [label] of item.found) counts.set(label, (counts.get(label) ?? 0) + 1);
    const told = [...counts].slice(0, 3).map(([label, count]) => (count > 1 ? `${count} × ${label}` : label));
    return told.filter(Boolean).join(", ") + (counts.size > 3 ? " …" : "") || counted(item.of, "finding");
  }
  return item.summary || item.kind || "";
}

function bars(item) {
  const list = el("span", { className: "tops" });
  for (const [label, score] of item.found.slice(0, 3)) {
    list.append(el("span", { className: "top" }, own(label, "name"), meter((score ?? 0) / highest, `class-${colour(label) % 8}`),
      el("span", { className: "score", textContent: scored(score) })));
  }
  return list;
}

function cardOf(item) {
  const frame = frameOf(item, item.n);
  const slash = item.key.lastIndexOf("/");
  const button = el("button", { type: "button", className: "card", title: item.key }, frame, own(item.key.slice(slash + 1) || item.key, "name"));
  button.dataset.item = item.n;
  if (item.kind === "classes" && item.found.length) button.append(bars(item));
  else button.append(own(summary(item), item.state === "failed" ? "sub failed" : "sub"));
  const made = el("li", {}, button);
  const picture = pictures[item.n];
  const ratio = Array.isArray(picture) ? picture[1] / picture[2] : 4 / 3;
  made.style.setProperty("--wide", Math.max(0.75, Math.min(3.2, ratio)).toFixed(3));
  keepDrawn(frame, item, view.score, 6);
  return made;
}

/** Shows the page of the gallery that the view asks for. */
function show() {
  listed = chosen();
  const pages = Math.max(1, Math.ceil(listed.length / PAGE));
  view.page = Math.min(view.page, pages);
  const first = (view.page - 1) * PAGE;
  const here = listed.slice(first, first + PAGE);
  const list = byId("cards");
  forget(list);
  list.replaceChildren(...here.map(cardOf));
  byId("pager").hidden = pages === 1;
  byId("before").disabled = view.page === 1;
  byId("after").disabled = view.page === pages;
  byId("where").textContent = `Page ${view.page} of ${pages}`;
  byId("told").textContent = listed.length
    ? `${counted(first + 1, "", "").trim()} to ${counted(first + here.length, "", "").trim()} of ${counted(listed.length, "item")}${listed.length < items.length ? ` that fit, of ${items.length.toLocaleString("en")}` : ""}`
    : "No item fits. Take something out of the filter, or reset it.";
  tellAddress();
}

function fill(select, options) {
  select.replaceChildren(...options.map(([value, text]) => el("option", { value, textContent: text })));
}

/** Puts into the filter what the items have. */
function prepare() {
  const labels = new Map();
  const states = new Map();
  for (const item of items) {
    for (const name of item.names) if (name) labels.set(name, (labels.get(name) ?? 0) + 1);
    states.set(item.state, (states.get(item.state) ?? 0) + 1);
    if (item.state === "failed") states.set(`code:${item.code}`, (states.get(`code:${item.code}`) ?? 0) + 1);
  }
  const short = (text) => (text.length > 60 ? `${text.slice(0, 59)}…` : text);
  const ranked = [...labels].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 500);
  fill(byId("f-label"), [["", "any"], ...ranked.map(([name, count]) => [name, `${short(name)} (${count})`])]);
  fill(byId("f-state"), [["", "any"], ...[...states].sort().reverse().map(([name, count]) => [name, `${short(name.replace(/^code:/, "failed: "))} (${count})`])]);
  fill(byId("f-sort"), ORDERS);
  byId("f-label").parentElement.hidden = !labels.size;
  byId("f-score").parentElement.hidden = items.every((item) => item.best === null);
  byId("filter").hidden = false;
}

/** Brings the filter's fields in line with the view. */
function tellFilter() {
  byId("f-text").value = view.q;
  for (const [id, value] of [["f-label", view.label], ["f-state", view.state]]) {
    const select = byId(id);
    if (![...select.options].some((option) => option.value === value)) select.append(el("option", { value, textContent: value.slice(0, 60) }));
    select.value = value;
  }
  byId("f-sort").value = view.sort;
  byId("f-score").value = (view.score / highest) * 100;
  byId("f-score-told").textContent = highest === 1 ? view.score.toFixed(2) : String(view.score);
}

function change(changes) {
  view = { ...view, page: 1, ...changes };
  tellFilter();
  show();
}
