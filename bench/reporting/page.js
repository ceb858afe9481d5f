// Draws the charts, shows all columns of a row where the pointer is, sorts and filters the table.
// Text from result files only ever goes into textContent.
"use strict";

(() => {
  const parse = (id) => JSON.parse(document.getElementById(id).textContent);
  const { columns, rows } = parse("data-rows");
  const specs = parse("data-specs");
  const tip = document.getElementById("tip");

  function entriesOf(item, value) {
    const row = item && item.datum && item.datum.row;
    if (row !== undefined && rows[row]) {
      return columns.map((name, place) => [name, rows[row][place]]);
    }
    return typeof value === "object" ? Object.entries(value) : [["", value]];
  }

  function showTip(_, event, item, value) {
    if (value === null || value === undefined || value === "") {
      tip.hidden = true;
      return;
    }
    tip.replaceChildren();
    const list = document.createElement("dl");
    for (const [name, cell] of entriesOf(item, value)) {
      if (cell === null || cell === "") continue;
      const term = list.appendChild(document.createElement("dt"));
      const text = list.appendChild(document.createElement("dd"));
      term.textContent = name;
      const fraction = typeof cell === "number" && !Number.isInteger(cell);
      text.textContent = fraction ? Number(cell.toPrecision(6)) : cell;
    }
    tip.append(list);
    tip.classList.toggle("many", list.children.length > 40);
    tip.hidden = false;
    const margin = 12;
    const { width, height } = tip.getBoundingClientRect();
    const right = event.clientX + margin + width < window.innerWidth;
    const left = right ? event.clientX + margin : event.clientX - margin - width;
    const top = Math.min(event.clientY + margin, window.innerHeight - height - margin);
    tip.style.left = `${Math.max(margin, left)}px`;
    tip.style.top = `${Math.max(margin, top)}px`;
  }

  async function draw(place) {
    const options = { actions: false, renderer: "svg", tooltip: showTip };
    try {
      await vegaEmbed(place, specs[place.dataset.spec], options);
    } catch (error) {
      place.textContent = "This chart cannot be drawn.";
      console.error(place.id, error);
    }
    place.style.minHeight = "";
  }

  // One after the other, so that the page can be read while the rest of many charts are drawn.
  async function drawAll() {
    for (const place of document.querySelectorAll(".chart")) {
      await draw(place);
      await new Promise((done) => setTimeout(done));
    }
    document.documentElement.classList.add("drawn");
  }
  drawAll();
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });

  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const lines = [...body.rows];
    const words = lines.map((line) => line.textContent.toLowerCase());
    const paragraph = table.closest(".wide-table").querySelector(".filter");
    const output = paragraph.querySelector("output");
    const filter = () => {
      const wanted = paragraph.querySelector("input").value.toLowerCase().split(/\s+/);
      let shown = 0;
      lines.forEach((line, place) => {
        line.hidden = !wanted.every((word) => words[place].includes(word));
        shown += line.hidden ? 0 : 1;
      });
      output.textContent = `${shown} of ${lines.length} rows`;
    };
    paragraph.addEventListener("input", filter);
    filter();

    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => {
        const falling = heading.getAttribute("aria-sort") === "ascending";
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
        const numeric = heading.classList.contains("number");
        const key = (line) => {
          const cell = line.cells[column];
          if (!numeric) return cell.textContent;
          return cell.dataset.key === undefined ? NaN : Number(cell.dataset.key);
        };
        // Unknown comes last in either direction.
        const order = (one, other) => {
          const [a, b] = [key(one), key(other)];
          if (numeric && (isNaN(a) || isNaN(b))) return isNaN(a) - isNaN(b);
          const way = numeric ? a - b : a.localeCompare(b, "en", { numeric: true });
          return falling ? -way : way;
        };
        body.append(...[...lines].sort(order));
      });
    });
  }
})();
