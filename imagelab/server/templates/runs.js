// Looks every few seconds how far the runs are; ticks and the focus stay where they are.
const every = 4000;
const said = document.getElementById("said");

async function look() {
  const table = document.querySelector("table");
  const answer = await fetch("/rows");
  if (!answer.ok) throw new Error(answer.status);
  const fresh = new DOMParser().parseFromString(`<table>${await answer.text()}</table>`, "text/html");
  const rows = [...fresh.querySelectorAll("tr[data-run]")];
  if (!table) { if (rows.length) location.reload(); return; }
  const body = table.querySelector("tbody"), news = [];
  const present = new Map([...body.querySelectorAll("tr[data-run]")].map(row => [row.dataset.run, row]));
  for (const row of rows) {
    const old = present.get(row.dataset.run);
    present.delete(row.dataset.run);
    if (!old) { body.append(document.adoptNode(row)); news.push(`${row.dataset.run}: new`); continue; }
    const cells = old.querySelectorAll(".live");
    row.querySelectorAll(".live").forEach((cell, k) => {
      if (cells[k].innerHTML === cell.innerHTML || cells[k].contains(document.activeElement)) return;
      cells[k].innerHTML = cell.innerHTML;
      if (k === 1 || k === 2) news.push(`${row.dataset.run}: ${cell.textContent.trim().replace(/\s+/g, " ")}`);
    });
  }
  for (const gone of present.values()) gone.remove();
  if (news.length) said.textContent = news.join("; ");
}

async function follow() {
  if (!document.hidden) {
    try { await look(); } catch (error) { said.textContent = "The server does not answer. Is it still running?"; }
  }
  setTimeout(follow, every);
}
setTimeout(follow, every);
