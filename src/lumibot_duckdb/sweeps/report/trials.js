// The columns of the trials, and what all scripts of the page need of them.
window.sweep = (function () {
  "use strict";
  const data = JSON.parse(document.getElementById("trials").textContent);
  const columns = data.columns;
  for (const column of columns) {
    column.isText = Boolean(column.texts);
    column.get = column.isText ? (row) => column.texts[column.values[row]] : (row) => column.values[row];
  }
  const objective = columns.find((column) => column.role === "objective");
  // The rows with an objective, the best one first.
  const ranking = data.ranking;
  const SHOWN = {
    percent: (value) => (Math.abs(value) < 1e4 ? (100 * value).toFixed(2) : (100 * value).toExponential(2)) + " %",
    ratio: (value) => (Math.abs(value) < 1e6 ? value.toFixed(2) : value.toExponential(2)),
    amount: (value) => value.toLocaleString("en-US", { maximumFractionDigits: 2 }),
    count: (value) => value.toLocaleString("en-US", { maximumFractionDigits: 0, useGrouping: false }),
    parameter: rounded,
    text: (value) => String(value),
  };
  // A number with at most six significant digits; short ones unchanged.
  function rounded(value) {
    const text = String(value);
    return text.length > 10 ? String(Number(value.toPrecision(6))) : text;
  }
  function shown(column, value) {
    if (value === null || value === undefined) return column.kind === "parameter" ? "None" : "\u2013";
    return column.isText ? String(value) : SHOWN[column.kind](value);
  }
  // The distinct values of a column in the given rows, in order: numbers by size, texts by the alphabet (v2 before v10).
  function distinct(column, rows) {
    const found = [...new Set(rows.map(column.get))].filter((value) => value !== null);
    return found.sort(compare);
  }
  function compare(a, b) {
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  }
  function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const half = Math.floor(sorted.length / 2);
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  }
  // Plotly reads some HTML in texts.
  function plain(text) {
    return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }
  // A long name without its middle: names often differ at the end.
  function short(text, most) {
    if (text.length <= most) return text;
    const end = Math.floor(most / 3);
    return text.slice(0, most - end - 1) + "\u2026" + text.slice(text.length - end);
  }
  // Short names for the categories of an axis. Names that are the same when they are short stay apart: Plotly would
  // unite them, so they get characters that have no width.
  function categories(texts, most) {
    const seen = new Map();
    return texts.map(function (text) {
      const name = plain(short(String(text), most));
      seen.set(name, (seen.get(name) || 0) + 1);
      return name + "\u200b".repeat(seen.get(name) - 1);
    });
  }
  function element(name, text, attributes) {
    const made = Object.assign(document.createElement(name), { textContent: text });
    for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
    return made;
  }
  // A selection with its label; `options` are pairs of a value and a text.
  function selection(label, options, chosen, onChange) {
    const box = element("label", label);
    const select = document.createElement("select");
    for (const [value, text] of options) select.append(element("option", text, { value }));
    select.value = chosen;
    select.addEventListener("change", onChange);
    box.append(select);
    return [box, select];
  }
  // At most so many of the ranked rows: the best ones, and the others at equal distances.
  function sample(rows, most) {
    if (rows.length <= most) return rows;
    const best = Math.floor(most / 20);
    const step = (rows.length - best) / (most - best);
    return [...rows.slice(0, best), ...Array.from({ length: most - best }, (_, at) => rows[best + Math.floor(at * step)])];
  }
  const parameters = columns.filter((column) => column.kind === "parameter" && distinct(column, ranking).length > 1);
  // The objective as it is drawn: percentages as numbers of percent.
  const factor = objective.kind === "percent" ? 100 : 1;
  const unit = objective.kind === "percent" ? ", %" : "";
  const value = (row) => factor * objective.values[row];
  const label = objective.label.replace(/, the objective$/, "") + unit;
  return {
    columns, objective, ranking, parameters, minimize: data.minimize, label, value,
    shown, distinct, compare, median, plain, short, categories, element, selection, sample,
  };
})();
