// A click on a column's title sorts by it; a second click turns the order round. Without scripts the page is complete.
for (const title of document.querySelectorAll("th.sortable")) {
  title.addEventListener("click", () => {
    const table = title.closest("table"), body = table.tBodies[0], column = title.cellIndex;
    const first = title.classList.contains("number") ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    const order = title.getAttribute("aria-sort") === first ? second : first;
    const sign = order === "ascending" ? 1 : -1;
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)], difference = x - y;
      if (x === "" || y === "") return (x === "") - (y === "") || 0;
      return sign * (Number.isNaN(difference) ? x.localeCompare(y, undefined, { numeric: true }) : difference);
    };
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    title.setAttribute("aria-sort", order);
    body.append(...[...body.rows].sort(compare));
  });
}
