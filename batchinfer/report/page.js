// What the keys, buttons and the address do.

const root = document.documentElement;
const dark = matchMedia("(prefers-color-scheme: dark)");

function kept(value) {
  try {
    if (value !== undefined) localStorage.setItem("batchinfer-theme", value);
    return localStorage.getItem("batchinfer-theme");
  } catch {
    return null; // some browsers keep nothing for files
  }
}

function theme(name) {
  if (name === "light" || name === "dark") root.dataset.theme = name;
  const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
  byId("theme").textContent = now === "dark" ? "Light" : "Dark";
  byId("theme").setAttribute("aria-label", now === "dark" ? "Light colours" : "Dark colours");
}

function followAddress() {
  const told = toldByAddress();
  if (!told) return;
  view = told;
  tellFilter();
  show();
  open(view.item);
}

let typing = 0;
byId("f-text").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => change({ q: byId("f-text").value.trim() }), 120);
});
byId("f-label").addEventListener("change", (event) => change({ label: event.target.value }));
byId("f-state").addEventListener("change", (event) => change({ state: event.target.value }));
byId("f-sort").addEventListener("change", (event) => change({ sort: event.target.value }));
byId("f-score").addEventListener("input", (event) => change({ score: (event.target.value / 100) * highest }));
byId("filter").addEventListener("submit", (event) => event.preventDefault());
byId("filter").addEventListener("reset", (event) => {
  event.preventDefault();
  change({ ...EMPTY });
});

function turn(by) {
  view.page += by;
  show();
  byId("gallery").scrollIntoView();
}
byId("before").addEventListener("click", () => turn(-1));
byId("after").addEventListener("click", () => turn(1));
byId("d-before").addEventListener("click", () => step(-1));
byId("d-after").addEventListener("click", () => step(1));
byId("d-close").addEventListener("click", () => dialog.close());
byId("theme").addEventListener("click", () => {
  theme(kept(byId("theme").textContent.toLowerCase()) ?? byId("theme").textContent.toLowerCase());
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (event.target === dialog) dialog.close();
  if (!button) return;
  const { item, label, code } = button.dataset;
  if (button.className === "copy") copy(button.previousElementSibling, button);
  else if (item !== undefined) open(Number(item));
  else if (label !== undefined || code !== undefined) {
    change({ ...EMPTY, ...(label !== undefined ? { label } : { state: `code:${code}` }) });
    byId("gallery").scrollIntoView();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const writing = event.target.closest("input, select, textarea");
  if (event.key === "/" && !writing && !dialog.open) {
    event.preventDefault();
    byId("f-text").focus();
  } else if (dialog.open && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
    event.preventDefault();
    step(event.key === "ArrowLeft" ? -1 : 1);
  }
});
addEventListener("hashchange", followAddress);
dark.addEventListener("change", () => theme());

// Of items that are not in this file there is nothing to open.
for (const button of document.querySelectorAll("main [data-item]")) {
  if (!places.has(Number(button.dataset.item))) button.disabled = true;
}
theme(kept());
byId("theme").hidden = false;
prepare();
const start = toldByAddress();
if (start) followAddress();
else show();
