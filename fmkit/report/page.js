"use strict";
// Without this script the page is whole: it adds sorting of tables and reading of curves.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falls = head.getAttribute("aria-sort") === "descending";
      const isFirst = !head.hasAttribute("aria-sort");
      const key = (row) => {
        const cell = row.cells[column];
        return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
      };
      const rows = [...table.tBodies[0].rows];
      const hasNumbers = rows.some((row) => "value" in row.cells[column].dataset);
      const sign = (isFirst ? hasNumbers : !falls) ? -1 : 1;
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        const [m, n] = [typeof x === "number", typeof y === "number"];
        if (m !== n) return m ? -1 : 1;  // what has no number comes last
        return sign * (m ? x - y : x.localeCompare(y, undefined, { numeric: true }));
      };
      table.tBodies[0].append(...rows.sort(compare));
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign < 0 ? "descending" : "ascending");
    });
  });
}
const readByHover = (chart) => {
  const { points, series, box, range } = JSON.parse(chart.dataset.hover);
  const frame = chart.querySelector(".frame");
  const output = document.createElement("output");
  const rule = document.createElement("div");
  const [left, top, right, bottom] = box;
  let current = -1;
  rule.className = "rule";
  rule.hidden = true;
  rule.style.top = `${100 * top}%`;
  rule.style.height = `${100 * (bottom - top)}%`;
  frame.append(rule);
  chart.append(output);
  frame.tabIndex = 0;
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-label", `${chart.querySelector("figcaption").textContent}: ` +
    "arrow keys read the values");
  const place = (x) => left + (right - left) * (x - range[0]) / (range[1] - range[0]);
  const show = (index) => {
    current = Math.max(0, Math.min(points.length - 1, index));
    rule.hidden = false;
    rule.style.left = `${100 * place(points[current].x)}%`;
    const values = series.filter(({ y }) => y[current] !== null)
      .map(({ name, y }) => `${name} ${y[current]}`);
    output.textContent = [points[current].name, ...values].join("   ");
  };
  const hide = () => { rule.hidden = true; output.textContent = ""; };
  frame.addEventListener("pointermove", (event) => {
    const area = frame.getBoundingClientRect();
    const x = (event.clientX - area.left) / area.width;
    let nearest = 0;
    points.forEach((point, index) => {
      if (Math.abs(place(point.x) - x) < Math.abs(place(points[nearest].x) - x)) nearest = index;
    });
    show(nearest);
  });
  frame.addEventListener("pointerleave", hide);
  frame.addEventListener("blur", hide);
  frame.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    if (event.key === "Escape") hide();
    if (!(event.key in steps)) return;
    event.preventDefault();
    show(current < 0 && steps[event.key] === 1 ? 0 : current + steps[event.key]);
  });
};
for (const chart of document.querySelectorAll("figure[data-hover]")) readByHover(chart);
