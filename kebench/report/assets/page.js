"use strict";
(() => {
  const DataTable = window.DataTable;
  const page = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;

  // Light and dark: what the system says, until the reader says otherwise.
  document.getElementById("theme").addEventListener("click", () => {
    const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = isDark ? "light" : "dark";
  });

  // Sorting is the library's; it also filters, by the function below.
  const inputs = Object.fromEntries(
    ["search", "suite", "budget", "kind", "family", "published"].map((name) => [name, document.getElementById(`by-${name}`)]));
  DataTable.ext.search.push((settings, texts, index, row, counter) => {
    const line = settings.aoData[index].nTr;
    if (!settings.nTable.classList.contains("board")) return true;
    const isPublished = line.classList.contains("published");
    if (inputs.published.value === "measured" && isPublished) return false;
    if (inputs.published.value === "published" && !isPublished) return false;
    if (inputs.family.value && line.dataset.family !== inputs.family.value) return false;
    return line.dataset.model.toLowerCase().includes(inputs.search.value.trim().toLowerCase());
  });
  const tables = [...document.querySelectorAll("table.sortable")].map((table) =>
    new DataTable(table, { paging: false, info: false, searching: true, layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null }, order: [], autoWidth: false, orderMulti: false, columnDefs: [{ targets: "_all", orderSequence: ["desc", "asc", ""] }] }));
  const filter = () => {
    tables.forEach((table) => table.draw());
    document.querySelectorAll("section.protocol").forEach((section) => {
      section.hidden = Boolean((inputs.suite.value && section.dataset.suite !== inputs.suite.value)
        || (inputs.budget.value && section.dataset.budget !== inputs.budget.value));
    });
    document.querySelectorAll("div.block").forEach((block) => {
      block.hidden = Boolean(inputs.kind.value && block.dataset.kind !== inputs.kind.value);
    });
  };
  Object.values(inputs).forEach((input) => ["input", "change"].forEach((name) => input.addEventListener(name, filter)));

  // A cell opens what stands behind its number.
  const dialog = document.getElementById("cell");
  const make = (name, text) => { const node = document.createElement(name); if (text !== undefined) node.textContent = text; return node; };
  const grid = (name, headings, rows) => {
    const table = make("table"), head = table.createTHead().insertRow(), body = table.createTBody();
    headings.forEach((heading) => { const cell = make("th", heading); cell.scope = "col"; head.append(cell); });
    rows.forEach((row) => { const line = body.insertRow(); row.forEach((text) => line.insertCell().append(text)); });
    const wide = make("div"); wide.className = "wide"; wide.tabIndex = 0; wide.setAttribute("role", "group"); wide.setAttribute("aria-label", name); wide.append(table);
    return wide;
  };
  const open = (id) => {
    const cell = page.cells[id], content = document.getElementById("cell-content");
    const title = make("h2", `${cell.model} on ${cell.task}`);
    title.tabIndex = -1; title.autofocus = true;  // else the first table has the focus, and the title is scrolled past
    content.replaceChildren(title, make("p", cell.summary));
    const plot = document.getElementById(`plot-${cell.column}`);
    if (plot) { const figure = make("div"); figure.className = "figure"; figure.append(plot.content.cloneNode(true)); content.append(make("h3", "Seeds of all models"), figure); }
    content.append(make("h3", "Runs"), grid("Runs", page.run_headings, cell.runs));
    if (cell.comparisons.length) content.append(make("h3", "Against the others"), grid("Against the others", page.comparison_headings, cell.comparisons), make("p", page.comparison_note));
    dialog.showModal();
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.cell");
    if (button) open(button.dataset.cell);
    if (event.target === dialog || event.target.id === "close") dialog.close();
  });
})();
