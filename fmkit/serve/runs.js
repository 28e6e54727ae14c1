// A list of runs is read again every few seconds, and curves grow by the rows that are new.
const SECONDS = 3;
const list = document.querySelector("#runs-table");
if (list) {
  let address = location.href;
  setInterval(async () => {
    const boxes = list.querySelectorAll("input:checked");
    if (document.hidden || boxes.length || list.contains(document.activeElement)) return;
    try {
      const answer = await fetch(address);
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.querySelector("#runs-table");
      if (fresh && fresh.innerHTML !== list.innerHTML) list.replaceChildren(...fresh.childNodes);
    } catch { /* the server has ended: what is shown stays */ }
  }, SECONDS * 1000);
}
const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [470, 270, 52, 8, 20, 26];
const MOST_POINTS = 400;
const APART = new Set(["phase", "epoch", "step", "seconds", "rss_bytes"]);
const draw = (name, attributes, text) => {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
};
const short = (value) => String(Number(value.toPrecision(value >= 1000 ? 4 : 3)));
const ticks = (low, high) => {
  const rough = (high - low) / 4 || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= rough);
  const values = [];
  for (let k = Math.ceil(low / step); k * step <= high; k += 1) values.push(k * step);
  return values;
};
const chartOf = (title, rows, series) => {
  const steps = rows.map((row) => row.step);
  const grows = steps.every((step, k) => Number.isFinite(step) && (!k || step > steps[k - 1]));
  const x = grows ? steps : rows.map((_, k) => k + 1);
  const values = series.flatMap(({ key }) => rows.map((row) => row[key])).filter(Number.isFinite);
  let [low, high] = [Math.min(...values), Math.max(...values)];
  if (low === high) [low, high] = [low - (Math.abs(low) / 10 || 1), high + (Math.abs(high) / 10 || 1)];
  const margin = 0.02 * Math.max(x.at(-1) - x[0], 1);
  const range = [x[0] - margin, x.at(-1) + margin];
  const across = (value) => LEFT + (WIDTH - LEFT - RIGHT) * (value - range[0]) / (range[1] - range[0]);
  const up = (value) => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low);
  const svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img",
    "aria-label": `Curve of ${title}: ${series.map(({ name, key }) => {
      const own = rows.map((row) => row[key]).filter(Number.isFinite);
      return `${name} from ${short(own[0])} to ${short(own.at(-1))}`;
    }).join("; ")}` });
  const phases = [];
  rows.forEach((row, k) => {
    if (!k || row.phase !== rows[k - 1].phase) phases.push({ name: String(row.phase), first: k });
    phases.at(-1).last = k;
  });
  phases.forEach(({ name, first, last }, k) => {
    const begin = first ? across((x[first - 1] + x[first]) / 2) : LEFT;
    const end = last < rows.length - 1 ? across((x[last] + x[last + 1]) / 2) : WIDTH - RIGHT;
    if (k % 2) svg.append(draw("rect", { class: "ground", x: begin, y: TOP,
      width: end - begin, height: HEIGHT - TOP - BOTTOM }));
    if (phases.length > 1 && end - begin > 40) svg.append(draw("text",
      { x: (begin + end) / 2, y: TOP - 6, "text-anchor": "middle" }, name.slice(0, 14)));
  });
  for (const value of ticks(low, high)) {
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: up(value), y2: up(value) }));
    svg.append(draw("text", { x: LEFT - 6, y: up(value) + 4, "text-anchor": "end" }, short(value)));
  }
  for (const value of ticks(x[0], x.at(-1)).filter(Number.isInteger)) {
    svg.append(draw("text", { x: across(value), y: HEIGHT - 8, "text-anchor": "middle" }, short(value)));
  }
  svg.append(draw("text", { x: LEFT - 6, y: HEIGHT - 8, "text-anchor": "end" }, grows ? "step" : "row"));
  series.forEach(({ key, colour }, number) => {
    let line = "";
    rows.forEach((row, k) => {
      if (!Number.isFinite(row[key])) return;
      const starts = !line || row.phase !== rows[k - 1]?.phase;
      line += `${starts ? "M" : "L"}${across(x[k]).toFixed(1)} ${up(row[key]).toFixed(1)}`;
      if (rows.length <= 60) svg.append(dot(across(x[k]), up(row[key]), colour));
    });
    const path = draw("path", { d: line, "stroke-dasharray": number ? "6 4" : "none" });
    path.style.stroke = colour;
    svg.append(path);
  });
  return figureOf(title, svg, rows, x, series, range);
};
const dot = (cx, cy, colour) => {
  const circle = draw("circle", { cx, cy, r: 2.5 });
  circle.style.fill = colour;
  return circle;
};
const figureOf = (title, svg, rows, x, series, range) => {
  const [figure, caption, frame] = ["figure", "figcaption", "div"].map((tag) => document.createElement(tag));
  figure.className = "chart";
  caption.textContent = title;
  frame.className = "frame";
  frame.append(svg);
  figure.append(caption, frame);
  if (series.length > 1) {
    const legend = document.createElement("p");
    for (const [number, { name, colour }] of series.entries()) {
      const key = document.createElement("span");
      key.className = "key";
      key.style.borderTopStyle = number ? "dashed" : "solid";
      key.style.borderTopColor = colour;
      legend.append(key, name);
    }
    figure.append(legend);
  }
  figure.dataset.hover = JSON.stringify({
    points: rows.map((row, k) => ({ x: x[k], name: `${row.phase}, epoch ${row.epoch}, step ${row.step}` })),
    series: series.map(({ name, key }) => ({ name,
      y: rows.map((row) => (Number.isFinite(row[key]) ? String(Number(row[key].toPrecision(5))) : null)) })),
    box: [LEFT / WIDTH, TOP / HEIGHT, 1 - RIGHT / WIDTH, 1 - BOTTOM / HEIGHT],
    range,
  });
  readByHover(figure);
  return figure;
};
const thin = (rows) => {
  const step = Math.ceil(rows.length / MOST_POINTS);
  return rows.filter((_, k) => (rows.length - 1 - k) % step === 0);
};
const chartsOf = (all) => {
  const rows = thin(all);
  const keys = new Set(rows.flatMap((row) => Object.keys(row).filter((key) => Number.isFinite(row[key]))));
  const names = new Set([...keys].filter((key) => !APART.has(key)).map((key) => key.replace(/^val_/, "")));
  const order = ["loss", ...[...names].filter((name) => name !== "loss")];
  return order.filter((name) => keys.has(name) || keys.has(`val_${name}`)).slice(0, 8).map((name) => {
    const both = [[name, "training", "var(--first)"], [`val_${name}`, "validation", "var(--second)"]];
    const series = both.filter(([key]) => keys.has(key)).map(([key, own, colour]) => ({ key, name: own, colour }));
    return chartOf(name.replaceAll("_", " "), rows, series);
  });
};
const live = document.querySelector("[data-metrics]");
if (live) {
  let [rows, from, changed] = [[], 0, false];
  const state = document.querySelector("#state");
  const progress = document.querySelector("#progress");
  const read = async () => {
    let pause = SECONDS;
    try {
      const answer = await (await fetch(`${live.dataset.metrics}?from=${from}`)).json();
      if (answer.restarted) rows = [];
      rows.push(...answer.rows);
      from = answer.next;
      changed ||= answer.rows.length > 0;
      if (answer.more) pause = 0;
      else if (changed && rows.length && !live.contains(document.activeElement)) {
        live.replaceChildren(...chartsOf(rows));
        changed = false;
      }
      state.textContent = answer.state;
      progress.textContent = answer.progress;
      if (answer.state !== "running" && !answer.more && !changed) return;
    } catch { /* the server has ended, or is busy */ }
    setTimeout(read, pause * 1000);
  };
  read();
}
