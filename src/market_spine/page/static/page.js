// Three conveniences; every page works without them: copy a command, walk the heat map by arrow keys, read a cell beneath it.
"use strict";
document.documentElement.classList.add("scripted");

for (const box of document.querySelectorAll(".command")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy " + box.textContent.trim());
  button.addEventListener("click", async () => {
    const text = box.querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(box.querySelector("code")); // the page is not served securely: select it to be copied
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  box.append(button);
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
for (const table of document.querySelectorAll(".heat")) {
  const readout = table.closest(".part").querySelector(".readout");
  const read = (event) => {
    const cell = event.target.closest("[aria-label]");
    if (cell && table.contains(cell)) readout.textContent = cell.getAttribute("aria-label");
  };
  table.addEventListener("mouseover", read);
  table.addEventListener("focusin", read);
  table.addEventListener("keydown", (event) => {
    const step = STEPS[event.key], cell = event.target.closest("td");
    if (!step || !cell) return;
    const row = table.rows[cell.parentElement.rowIndex + step[0]];
    const next = row && row.cells[cell.cellIndex + step[1]];
    const link = next && next.querySelector("a");
    if (link) { event.preventDefault(); link.focus(); }
  });
}
