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
  Object.values(inputs).filter(Boolean).forEach((input) => ["input", "change"].forEach((name) => input.addEventListener(name, filter)));

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
    const settings = make("dl");
    cell.settings.forEach(([name, value]) => settings.append(make("dt", name), make("dd", value)));
    content.append(make("h3", "Settings of all these runs"), settings);
    dialog.showModal();
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.cell");
    if (button) open(button.dataset.cell);
    if (event.target === dialog || event.target.id === "close") dialog.close();
  });

  // A served page loads itself again, with what the reader has chosen; not under the reader's hands.
  const seconds = Number(document.body.dataset.refresh);
  if (!seconds) return;
  const named = (nodes, nameOf) => {  // by name; of equal ones the second has a 2, and so on
    const counts = {};
    return [...nodes].map((node) => { const name = nameOf(node); counts[name] = (counts[name] || 0) + 1; return [`${name} ${counts[name]}`, node]; });
  };
  const details = () => named(document.querySelectorAll("details"), (one) => one.firstElementChild.textContent);
  const sorted = () => named(tables, (table) => {
    const node = table.table().node(), section = node.closest("section");
    return (section ? section.querySelector("h3").textContent : "") + node.tHead.textContent;
  });
  const focusable = () => [...document.querySelectorAll("a, button, input, select, summary, [tabindex]")];
  const valuesOf = (pairs, valueOf) => Object.fromEntries(pairs.map(([name, node]) => [name, valueOf(node)]));
  const KEY = "kebench";
  const keep = () => sessionStorage.setItem(KEY, JSON.stringify({
    filters: valuesOf(Object.entries(inputs), (input) => input.value),
    orders: valuesOf(sorted(), (table) => table.order()),
    open: valuesOf(details(), (one) => one.open),
    theme: root.dataset.theme,
    focus: focusable().indexOf(document.activeElement),
    scroll: scrollY,
  }));
  const restore = ({ filters, orders, open, theme, focus, scroll }) => {
    Object.entries(inputs).forEach(([name, input]) => {
      const value = filters[name];  // a choice may be gone
      if (!input.options || [...input.options].some((option) => option.value === value)) input.value = value;
    });
    sorted().forEach(([name, table]) => { if (orders[name]) table.order(orders[name]); });
    details().forEach(([name, one]) => { if (name in open) one.open = open[name]; });
    if (theme) root.dataset.theme = theme;
    filter();
    if (focus >= 0) focusable()[focus]?.focus({ preventScroll: true });
    scrollTo(0, scroll);
  };
  history.scrollRestoration = "manual";
  const kept = sessionStorage.getItem(KEY);
  if (kept) restore(JSON.parse(kept));
  addEventListener("pagehide", keep);
  let timer;
  const wait = () => { clearTimeout(timer); timer = setTimeout(() => { if (dialog.open) wait(); else location.reload(); }, seconds * 1000); };
  ["pointerdown", "keydown", "wheel", "touchmove"].forEach((name) => addEventListener(name, wait, { passive: true }));
  wait();
})();
