// Sorting of tables by the number, else the text, of a column. The page is complete without it.
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
