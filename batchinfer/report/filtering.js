// Which items are shown, in which order; kept in the address, so that a view can be passed on.

const items = data("items");
const pictures = data("pictures");
const PAGE = 24;
const EMPTY = { q: "", label: "", state: "", score: 0, sort: "", page: 1, item: 0 };
let view = { ...EMPTY };

const ORDERS = [
  ["", "as in the input"],
  ["score", "highest score"],
  ["-score", "lowest score"],
  ["slow", "slowest"],
  ["most", "most found"],
];

const places = new Map();
items.forEach((item, place) => {
  places.set(item.n, place);
  item.found ??= [];
  const scores = item.found.map(([, score]) => score).filter((score) => score !== null);
  item.best = scores.length ? Math.max(...scores) : null;
  item.names = [...new Set((item.kind === "classes" ? item.found.slice(0, 1) : item.found).map(([label]) => label))];
  item.words = [item.key, item.path, item.summary, item.code, textOf(item.message), ...item.names].filter(Boolean).join("\n").toLowerCase();
});
const highest = Math.max(...items.map((item) => item.best ?? 0), 0) > 1 ? 100 : 1;

function textOf(cut) {
  return Array.isArray(cut) ? cut[0] : cut;
}

function fits(item) {
  if (view.q && !view.q.toLowerCase().split(/\s+/).every((word) => item.words.includes(word))) return false;
  if (view.state && item.state !== view.state && item.code !== view.state.replace(/^code:/, "")) return false;
  if (view.state.startsWith("code:") && item.state !== "failed") return false;
  if (!view.label && !view.score) return true;
  const found = item.kind === "classes" ? item.found.slice(0, 1) : item.found;
  return found.some(([label, score]) => (!view.label || label === view.label) && (score ?? (view.score ? -1 : 0)) >= view.score);
}

const ORDER = {
  score: (a, b) => (b.best ?? -1) - (a.best ?? -1),
  "-score": (a, b) => (a.best ?? Infinity) - (b.best ?? Infinity),
  slow: (a, b) => (b.seconds ?? -1) - (a.seconds ?? -1),
  most: (a, b) => (b.of ?? -1) - (a.of ?? -1),
};

function chosen() {
  const found = items.filter(fits);
  return view.sort in ORDER ? found.sort((a, b) => ORDER[view.sort](a, b) || a.n - b.n) : found;
}

/** The view as the address tells it; null: it tells of something else. */
function toldByAddress() {
  if (!location.hash.includes("=")) return null;
  const told = new URLSearchParams(location.hash.slice(1));
  const number = (name, least) => Math.max(least, Number(told.get(name)) || least);
  return {
    q: told.get("q") ?? "",
    label: told.get("label") ?? "",
    state: told.get("state") ?? "",
    score: Math.min(number("score", 0), highest),
    sort: told.get("sort") in ORDER ? told.get("sort") : "",
    page: Math.floor(number("page", 1)),
    item: Math.floor(number("item", 0)),
  };
}

function tellAddress() {
  const told = new URLSearchParams();
  for (const [name, value] of Object.entries(view)) if (value !== EMPTY[name]) told.set(name, value);
  const hash = told.size ? `#${told}` : "";
  if (hash === location.hash || (!hash && !location.hash.includes("="))) return;
  history.replaceState(null, "", hash || "#gallery");
}
