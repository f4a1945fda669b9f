// On narrow screens, sections that are open elsewhere begin closed.
if (matchMedia("(max-width: 40rem)").matches) {
  for (const one of document.querySelectorAll("details.wide")) one.open = false;
}

// Sorts tables by a column: by number if possible, otherwise as text. The page is complete without this script.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  if (body.rows.length < 2) continue;
  const original = [...body.rows];
  const key = (row, column) => {
    const text = (row.cells[column].firstChild?.textContent ?? row.cells[column].textContent).trim();
    const number = parseFloat(text.replaceAll(",", "").replace("\u2212", "-").replace(/^\+/, ""));
    return Number.isNaN(number) ? row.cells[column].textContent.trim() : number;
  };
  const compare = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === typeof b) return a.localeCompare(b, "en", { numeric: true });
    return null;
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    if (!button.textContent.trim()) button.setAttribute("aria-label", "Sort by name");
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.getAttribute("aria-sort") === "descending";
      const rising = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      // The third click restores the order of the page.
      if (rising) return void body.append(...original);
      head.setAttribute("aria-sort", falling ? "ascending" : "descending");
      const sign = falling ? 1 : -1;
      body.append(...[...original].sort((a, b) => {
        const [one, other] = [key(a, column), key(b, column)];
        // Rows without a number are last in both directions.
        return sign * compare(one, other) || (compare(one, other) === null ? (typeof one === "number" ? -1 : 1) : 0);
      }));
    });
  });
}

// Sliders of prevalence and cost: precision by Bayes' rule, and the cheapest of the thresholds chosen on validation.
for (const panel of document.querySelectorAll(".costs")) {
  const models = JSON.parse(panel.dataset.costs), body = panel.querySelector("tbody");
  const [prevalence, miss] = ["prevalence", "miss"].map((role) => panel.querySelector(`[data-role=${role}]`));
  const percent = (share) => Number.isFinite(share) ? `${(100 * share).toFixed(1)}%` : "\u2013";
  const cost = (p, c, hits, alarms) => p * c * (1 - hits) + (1 - p) * alarms;
  const show = () => {
    const p = 10 ** Number(prevalence.value), c = 10 ** Number(miss.value);
    prevalence.nextElementSibling.textContent = `${Number((100 * p).toPrecision(2))}%`;
    miss.nextElementSibling.textContent = `${Number(c.toPrecision(2))}`;
    body.replaceChildren();
    const add = (name, threshold, hits, alarms) => {
      const row = body.insertRow(), head = document.createElement("th");
      head.scope = "row";
      head.textContent = name;
      row.append(head);
      const precision = p * hits / (p * hits + (1 - p) * alarms);
      const texts = [threshold, percent(hits), percent(alarms), percent(precision), cost(p, c, hits, alarms).toFixed(4)];
      for (const text of texts) row.insertCell().textContent = text;
    };
    for (const { model, rates, curve } of models) {
      add(model, "in use", ...rates);
      if (!curve.length) continue;
      const best = curve.reduce((a, b) => (cost(p, c, b[3], b[4]) < cost(p, c, a[3], a[4]) - 1e-12 ? b : a));
      add(model, `${best[0].toFixed(3)}, cheapest`, best[1], best[2]);
    }
  };
  panel.hidden = false;
  panel.addEventListener("input", show);
  show();
}
