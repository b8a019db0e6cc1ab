// One item, large: in a dialog, with arrows to its neighbours in the gallery's order.

const dialog = byId("detail");
let opener = null;

/** JSON text with line breaks and indents; also of a text that was cut. Numbers stay as they are. */
function laidOut(text) {
  let out = "";
  let depth = 0;
  const parts = text.match(/"(?:[^"\\]|\\.)*"?|[\[\]{},:]|[^\s\[\]{},:"]+/g) ?? [];
  const line = () => `\n${"  ".repeat(Math.min(depth, 40))}`;
  parts.forEach((part, index) => {
    const next = parts[index + 1];
    if (part === "{" || part === "[") {
      out += part;
      if (next !== "}" && next !== "]") {
        depth += 1;
        out += line();
      }
    } else if (part === "}" || part === "]") {
      const before = parts[index - 1];
      if (before !== "{" && before !== "[") {
        depth = Math.max(0, depth - 1);
        out += line();
      }
      out += part;
    } else if (part === ",") out += part + line();
    else out += part === ":" ? ": " : part;
  });
  return out;
}

function block(title, ...children) {
  return el("section", {}, el("h3", { textContent: title }), ...children);
}

/** A long text; a text that was cut comes with the length of the whole. */
function long(cut, layout = (text) => text) {
  const [text, whole] = Array.isArray(cut) ? cut : [cut, 0];
  const pre = el("pre", { textContent: layout(text), tabIndex: 0 });
  const parts = [pre];
  if (whole) parts.push(el("p", { className: "note", textContent: `Cut here: ${counted(whole, "sign")} in all. The command below shows everything.` }));
  return parts;
}

function found(item, frame) {
  if (!item.of) return null;
  const list = el("ol", { className: "found", tabIndex: 0 });
  list.setAttribute("aria-label", "What was found");
  item.found.forEach(([label, score], index) => {
    const mark = shape("svg", { class: "mark", viewBox: "0 0 1 1", "aria-hidden": "true" });
    mark.append(shape("rect", { class: `class-${colour(label) % 8}`, width: 1, height: 1 }));
    const row = el("li", {}, mark, own(label || "(no label)"), score === null ? el("span") : meter(score / highest, `class-${colour(label) % 8}`),
      el("span", { className: "score", textContent: scored(score) }));
    const others = () => [...frame.querySelectorAll("g")].filter((group) => group.dataset.index !== String(index));
    row.addEventListener("pointerenter", () => others().forEach((group) => group.classList.add("dim")));
    row.addEventListener("pointerleave", () => others().forEach((group) => group.classList.remove("dim")));
    list.append(row);
  });
  const title = item.kind === "classes" ? "Classes" : counted(item.of, "finding");
  const rest = item.of - item.found.length;
  return block(title, list, rest > 0 ? el("p", { className: "note", textContent: `and ${rest.toLocaleString("en")} more, which are not in this file` }) : null);
}

function facts(item) {
  const list = el("dl");
  const fact = (name, value) => {
    if (value) list.append(el("dt", { textContent: name }), el("dd", {}, own(value)));
  };
  fact("State", item.state);
  fact("Time", item.seconds === null ? "" : time(item.seconds) + (item.server === null ? "" : `: ${time(item.server)} in the model, ${time(Math.max(0, item.seconds - item.server))} waiting`));
  fact("Attempts", String(item.attempts));
  fact("Finished", item.finished?.replace("T", " ").replace("Z", " UTC"));
  fact("Picture", item.size ? `${item.size[0]} × ${item.size[1]} pixels` : "");
  fact("Type", item.type);
  fact("Path", item.path);
  fact("Parameters", item.params);
  for (const [name, sum] of Object.entries(item.sha256 ?? {})) fact(`sha256 of ${name}`, sum);
  return list;
}

function history_(item) {
  if (!item.history) return null;
  const list = el("ol");
  for (const [number, at, seconds, code, message] of item.history) {
    const when = new Date(at * 1000).toISOString().slice(0, 19).replace("T", " ");
    list.append(el("li", {}, `${number}. ${when} UTC, ${time(seconds)}: `, own(code ? `${code}: ${message}` : "a reply")));
  }
  return block("Attempts", list);
}

function stage(item) {
  const name = String(item.n);
  const frames_ = [frameOf(item, name)];
  if (Array.isArray(pictures[`${name}i`])) frames_.push(frameOf(item, `${name}i`));
  const figures = frames_.map((frame, place) => {
    const image = frame.querySelector("img");
    if (image) image.alt = place ? `What was sent: ${item.key}` : item.key;
    const caption = frames_.length > 1 ? el("figcaption", { textContent: place ? "what was sent" : "what came back" }) : null;
    const reason = !image && typeof pictures[name] === "string" ? el("figcaption", {}, own(`No picture: ${pictures[name]}`)) : null;
    return el("figure", {}, frame, caption ?? reason);
  });
  return [el("div", { className: "stage" }, ...figures), frames_[0]];
}

/** Opens the item at a position; 0 closes. */
function open(position) {
  const item = items[places.get(position)];
  if (!item) {
    view.item = 0;
    if (dialog.open) dialog.close();
    return;
  }
  view.item = position;
  forget(dialog);
  const [left, frame] = stage(item);
  const side = el("div", { className: "side" });
  const json = !["text", "file"].includes(item.kind);
  side.append(...[
    item.message ? block(item.code, el("p", { className: "message-box" }, own(textOf(item.message)))) : null,
    found(item, frame),
    facts(item),
    item.prediction !== undefined ? block("Prediction", ...long(item.prediction, json ? laidOut : undefined)) : null,
    history_(item),
    item.log ? el("details", { open: item.state === "failed" }, el("summary", { textContent: "Log of the service" }), ...long(item.log)) : null,
    item.show ? block("All of it", command(item.show)) : null,
  ].filter(Boolean));
  byId("d-title").replaceChildren(own(item.key));
  const body = byId("d-body");
  body.replaceChildren(left, side);
  body.scrollTop = 0;
  const place = listed.indexOf(item);
  byId("d-before").disabled = place <= 0;
  byId("d-after").disabled = place < 0 || place === listed.length - 1;
  if (!dialog.open) {
    opener = document.activeElement;
    dialog.showModal();
    byId("d-title").focus();
  }
  keepDrawn(frame, item, view.score, 60);
  tellAddress();
}

function step(by) {
  const next = listed[listed.indexOf(items[places.get(view.item)]) + by];
  if (!next) return;
  const page = Math.floor(listed.indexOf(next) / PAGE) + 1;
  if (page !== view.page) {
    view.page = page;
    show();
  }
  open(next.n);
}

dialog.addEventListener("close", () => {
  const back = byId("cards").querySelector(`[data-item="${view.item}"]`);
  view.item = 0;
  forget(dialog);
  byId("d-body").replaceChildren();
  (back ?? opener)?.focus();
  tellAddress();
});
