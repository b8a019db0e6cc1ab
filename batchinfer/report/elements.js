// The rooms of the page's script are put together, in order, as one module. Text from outside goes
// into the page as text only (textContent), never as markup.

const SVG = "http://www.w3.org/2000/svg";

const byId = (id) => document.getElementById(id);
const data = (id) => JSON.parse(byId(id).textContent);

/** An element with properties, and children (elements or texts). */
function el(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** An SVG element with attributes. */
function shape(name, attributes = {}, text = null) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  return made;
}

/** A text whose direction of writing stays its own. */
const own = (text, className = "") => el("bdi", { textContent: text, className });

/** A thin bar of 0 to 1. */
function meter(share, className) {
  const made = shape("svg", { viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  made.append(shape("rect", { class: "track", width: 100, height: 1 }));
  made.append(shape("rect", { class: className, width: Math.max(0, Math.min(1, share)) * 100, height: 1 }));
  return made;
}

function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 9.995 ? `${seconds.toFixed(2)} s` : `${seconds.toFixed(1)} s`;
}

const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

const scored = (score) => (score === null ? "" : Math.abs(score) <= 1 ? score.toFixed(2) : String(Math.round(score * 10) / 10));

/** Copies the text of `code`; where that is not allowed, selects it. */
async function copy(code, button) {
  const say = (text) => {
    button.textContent = text;
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
  try {
    await navigator.clipboard.writeText(code.textContent);
    say("Copied");
    return;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }
  say(document.execCommand("copy") ? "Copied" : "Selected");
}

function command(text) {
  const code = el("code", { textContent: text, tabIndex: 0 });
  const button = el("button", { type: "button", className: "copy", textContent: "Copy" });
  button.setAttribute("aria-label", "Copy the command");
  return el("div", { className: "command" }, code, button);
}
