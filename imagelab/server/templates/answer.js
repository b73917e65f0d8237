// Two keys for two buttons, and one answer for one picture.
const form = document.querySelector("form");
const said = document.getElementById("said");
let sent = false;

form.addEventListener("submit", event => {
  if (sent) { event.preventDefault(); return; }
  sent = true;
  said.textContent = "Saving your answer.";
});
window.addEventListener("pageshow", () => { sent = false; });
document.addEventListener("keydown", event => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  const button = form.querySelector(`button[aria-keyshortcuts="${CSS.escape(event.key)}"]`);
  if (!button) return;
  event.preventDefault();
  form.requestSubmit(button);
});
