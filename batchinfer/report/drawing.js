// Boxes and outlines over a picture. They are told in parts of 10,000 of its width and height.

const GRID = 10000;
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b3a21a", "#8a8a8a"];

const about = data("about");
const ranks = new Map(about.labels.filter((label) => label).map((label, place) => [label, place]));

/** The place of a class among the colours: by its rank, else by its name; always the same. */
function colour(label) {
  const known = ranks.get(label);
  if (known !== undefined) return known;
  let hash = 7;
  for (const sign of label) hash = (hash * 31 + sign.codePointAt(0)) % 9973;
  return hash + 8;
}

const stroke = (label) => {
  const place = colour(label);
  return `box s${place % 8}${place % 16 >= 8 ? " again-round" : ""}`;
};

/** Draws what was found in an item over the picture in `frame`, as large as it is shown. */
function draw(frame, item, least, tags) {
  const image = frame.querySelector("img");
  const old = frame.querySelector("svg");
  if (old) old.remove();
  if (!image || item.kind !== "detections") return;
  const outer = frame.getBoundingClientRect();
  const place = image.getBoundingClientRect();
  const ratio = image.naturalWidth ? image.naturalWidth / image.naturalHeight : image.width / image.height;
  if (!place.width || !ratio) return;
  const width = Math.min(place.width, place.height * ratio);
  const height = width / ratio;
  const left = place.left - outer.left + (place.width - width) / 2;
  const top = place.top - outer.top + (place.height - height) / 2;
  const svg = shape("svg", { viewBox: `0 0 ${outer.width} ${outer.height}`, "aria-hidden": "true" });
  const x = (part) => left + (part / GRID) * width;
  const y = (part) => top + (part / GRID) * height;
  const labels = [];
  item.found.forEach(([label, score, box, outlines], index) => {
    if (score !== null && score < least) return;
    const group = shape("g", { "data-index": index });
    if (item.alone?.includes(index)) group.classList.add("alone");
    for (const outline of outlines) {
      const points = [];
      for (let at = 0; at < outline.length; at += 2) points.push(`${x(outline[at])},${y(outline[at + 1])}`);
      for (const kind of ["hull", stroke(label)]) group.append(shape("polygon", { class: kind, points: points.join(" ") }));
    }
    if (box.length) {
      const at = { x: x(box[0]), y: y(box[1]), width: (box[2] / GRID) * width, height: (box[3] / GRID) * height, rx: 2 };
      if (!outlines.length) for (const kind of ["hull", stroke(label)]) group.append(shape("rect", { ...at, class: kind }));
      labels.push([group, label, score, at]);
    }
    svg.append(group);
  });
  frame.append(svg);
  if (labels.length <= tags) for (const one of labels) tag(svg, outer, ...one);
}

function tag(svg, outer, group, label, score, at) {
  const told = [label.length > 24 ? `${label.slice(0, 23)}…` : label, scored(score)].filter(Boolean).join(" ");
  if (!told) return;
  const text = shape("text", { class: "tag", direction: "ltr" }, told);
  group.append(text);
  const length = text.getComputedTextLength() + 10;
  const left = Math.max(0, Math.min(at.x - 1, outer.width - length));
  const top = at.y >= 17 ? at.y - 17 : Math.max(0, Math.min(at.y, outer.height - 17));
  const place = colour(label) % 8;
  group.insertBefore(shape("rect", { x: left, y: top, width: length, height: 17, rx: 3, fill: COLOURS[place] }), text);
  text.setAttribute("x", left + 5);
  text.setAttribute("y", top + 12.5);
  text.setAttribute("fill", place === 0 ? "#fff" : "#000");
}

/** Keeps what is drawn at the size of its frame. */
const frames = new Map();
const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) frames.get(target)?.();
});

function keepDrawn(frame, item, least, tags) {
  const again = () => draw(frame, item, least, tags);
  frames.set(frame, again);
  sizes.observe(frame);
  frame.querySelector("img")?.addEventListener("load", again);
}

function forget(within) {
  for (const frame of [...frames.keys()]) {
    if (!within.contains(frame)) continue;
    sizes.unobserve(frame);
    frames.delete(frame);
  }
}
