// What happens in the browser alone: ages that tick, and the keys.
(() => {
  const pad = (n) => String(n).padStart(2, "0");

  // The same as services/web_ui/text.py.
  const duration = (seconds) => {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} m ${pad(s % 60)} s`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} m`;
    return `${Math.floor(s / 86400)} d ${pad(Math.floor((s % 86400) / 3600))} h`;
  };

  const write = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };

  const tick = () => {
    const now = Date.now();
    for (const element of document.querySelectorAll("[data-since]"))
      write(element, duration((now - Date.parse(element.dataset.since)) / 1000));
    for (const element of document.querySelectorAll("[data-until]"))
      write(element, duration((Date.parse(element.dataset.until) - now) / 1000));
  };
  setInterval(tick, 500);

  const moveFocus = (step) => {
    const rows = [...document.querySelectorAll("a[data-incident]")];
    if (!rows.length) return;
    const at = rows.indexOf(document.activeElement);
    const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step;
    rows[Math.min(Math.max(next, 0), rows.length - 1)].focus();
  };

  const search = () => {
    const field = document.querySelector("input[type=search]");
    if (!field) return window.location.assign("/?search");
    field.focus();
    field.select();
  };

  const keys = {
    "/": search,
    j: () => moveFocus(1),
    k: () => moveFocus(-1),
    ArrowDown: () => moveFocus(1),
    ArrowUp: () => moveFocus(-1),
    a: () => act("a"),
    r: () => act("r"),
  };

  const act = (key) => {
    const row = document.activeElement?.closest("[data-incident]");
    emitEvent("console-key", { key, incident: row ? row.dataset.incident : null });
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest?.("input, textarea, select, [contenteditable=true]");
    if (typing) {
      if (event.key === "Escape") typing.blur();
      return;
    }
    const press = keys[event.key];
    if (!press || document.querySelector(".q-dialog, .q-menu")) return;
    if (event.key.startsWith("Arrow") && !document.querySelector("a[data-incident]")) return;
    event.preventDefault();
    press();
  });

  window.remember = (name, value) => {
    document.cookie = `${name}=${encodeURIComponent(value)}; path=/; max-age=31536000; samesite=lax`;
  };
})();
