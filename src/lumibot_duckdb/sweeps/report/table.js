// The table of all trials: sorted by a click on a column, filtered by a text, and shown in pages.
(function () {
  "use strict";
  const { columns, objective, ranking, minimize, shown, compare, element } = window.sweep;
  const card = document.getElementById("table");
  const ROWS = 50;
  const CONDITION = /("[^"]*"|[^\s"<>=!]+)\s*(<=|>=|!=|=|<|>)\s*("[^"]*"|[^\s"]+)/g;
  const all = columns[0].values.map((_, row) => row);
  const state = { column: objective, descending: !minimize, page: 0, rows: all };
  const filterBox = element("label", "filter", { class: "wide" });
  const filter = element("input", "", {
    type: "search", autocomplete: "off", spellcheck: "false", "aria-describedby": "filter-help",
    placeholder: `${objective.id} > 0 status = complete`,
  });
  filterBox.append(filter);
  const [previous, next] = [element("button", "previous", { type: "button" }), element("button", "next", { type: "button" })];
  const position = element("span", "", { role: "status" });
  const controls = element("div", "", { class: "controls" });
  controls.append(filterBox, previous, next, position);
  const problem = element("p", "", { class: "problem", role: "alert" });
  const region = element("div", "", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Trials" });
  const table = element("table", "", { class: "trials" });
  const head = document.createElement("tr");
  const body = document.createElement("tbody");
  const top = document.createElement("thead");
  top.append(head);
  table.append(top, body);
  region.append(table);
  const help = element(
    "p", "Conditions such as fast < 20, max_drawdown > -20% or status = failed, with the names of columns; other words must occur in the row. A click on a name sorts.",
    { class: "muted note", id: "filter-help" },
  );
  card.append(controls, problem, region, help);
  const headers = columns.map(function (column) {
    const cell = element("th", "", { scope: "col", title: column.label });
    if (!column.isText) cell.className = "number";
    const button = element("button", column.id, { type: "button" });
    button.addEventListener("click", function () {
      const again = state.column === column;
      state.descending = again ? !state.descending : column.kind !== "parameter" && !column.isText && column !== columns[0];
      state.column = column;
      state.page = 0;
      update();
    });
    cell.append(button);
    head.append(cell);
    return cell;
  });
  function unquoted(text) {
    return text.startsWith('"') ? text.slice(1, -1) : text;
  }
  function conditionOf(name, operator, text) {
    const wanted = unquoted(name).toLowerCase();
    const column = columns.find((each) => each.id.toLowerCase() === wanted);
    if (!column) throw new Error(`There is no column ${unquoted(name)}. Columns: ${columns.map((each) => each.id).join(", ")}.`);
    const given = unquoted(text);
    const isPercent = given.endsWith("%");
    const number = Number(isPercent ? given.slice(0, -1) : given) / (isPercent ? 100 : 1);
    if (!column.isText && Number.isNaN(number)) throw new Error(`${column.id} has numbers; ${given} is none.`);
    const other = column.isText ? given.toLowerCase() : number;
    return function (row) {
      let each = column.get(row);
      if (each === null) return operator === "!=";
      if (column.isText) {
        each = String(each).toLowerCase();
        // Numbers among texts compare as numbers.
        if (operator !== "=" && operator !== "!=" && !Number.isNaN(Number(each)) && !Number.isNaN(number)) return holds(Number(each), operator, number);
      }
      return holds(each, operator, other);
    };
  }
  function holds(a, operator, b) {
    if (operator === "=") return a === b;
    if (operator === "!=") return a !== b;
    return operator === "<" ? a < b : operator === "<=" ? a <= b : operator === ">" ? a > b : a >= b;
  }
  function filtered() {
    const conditions = [];
    const rest = filter.value.replace(CONDITION, function (_, name, operator, text) {
      conditions.push(conditionOf(name, operator, text));
      return " ";
    });
    for (const word of rest.toLowerCase().split(/\s+/).filter(Boolean)) {
      if (/^[<>=!]+$/.test(word)) throw new Error(`Write a column before ${word}, and a value after it.`);
      conditions.push((row) => columns.some((column) => shown(column, column.get(row)).toLowerCase().includes(word)));
    }
    return all.filter((row) => conditions.every((condition) => condition(row)));
  }
  // Rows without a value are last in both directions; equal rows are in the order of trials.
  function sorted(rows) {
    const { column, descending } = state;
    return [...rows].sort(function (a, b) {
      const [left, right] = [column.get(a), column.get(b)];
      if (left === null || right === null) return (left === null) - (right === null) || a - b;
      return (descending ? compare(right, left) : compare(left, right)) || a - b;
    });
  }
  function update() {
    problem.textContent = "";
    try {
      state.rows = sorted(filtered());
    } catch (error) {
      problem.textContent = error.message;
    }
    filter.setAttribute("aria-invalid", String(Boolean(problem.textContent)));
    state.page = Math.min(state.page, Math.max(0, Math.ceil(state.rows.length / ROWS) - 1));
    show();
  }
  function show() {
    const start = state.page * ROWS;
    const rows = state.rows.slice(start, start + ROWS);
    columns.forEach(function (column, at) {
      headers[at].setAttribute("aria-sort", column === state.column ? (state.descending ? "descending" : "ascending") : "none");
    });
    body.replaceChildren(...rows.map(function (row) {
      const line = document.createElement("tr");
      if (row === ranking[0]) line.className = "best";
      for (const column of columns) {
        const cell = element("td", shown(column, column.get(row)));
        if (column.kind === "parameter" && !column.isText) cell.title = String(column.get(row));
        if (!column.isText) cell.className = "number";
        else if (cell.textContent.length > 30) cell.className = "long";
        line.append(cell);
      }
      return line;
    }));
    const of = state.rows.length === all.length ? `${all.length}` : `${state.rows.length} (of ${all.length})`;
    position.textContent = rows.length ? `${start + 1} to ${start + rows.length} of ${of}` : `none of ${all.length}`;
    previous.disabled = state.page === 0;
    next.disabled = start + ROWS >= state.rows.length;
  }
  function turn(pages) {
    state.page += pages;
    show();
    region.scrollTop = 0;
  }
  previous.addEventListener("click", () => turn(-1));
  next.addEventListener("click", () => turn(1));
  filter.addEventListener("input", function () {
    state.page = 0;
    update();
  });
  update();
})();
