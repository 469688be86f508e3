// What a page needs beside HTML: Airflow's theme and time zone, links that lead out of Airflow's frame, copy buttons.
"use strict";

(() => {
  const stored = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      return null; // storage is closed to us: the browser's own settings count
    }
  };

  const applyTheme = () => {
    const theme = stored("theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    document.dispatchEvent(new Event("partner-center:theme"));
  };
  applyTheme();
  if (self !== parent) document.documentElement.dataset.framed = "";
  addEventListener("storage", (event) => event.key === "theme" && applyTheme());

  // Airflow keeps the zone that a person chose in its own UI; "local" and nothing mean the browser's.
  const zone = () => {
    const chosen = (stored("timezone") ?? "").replaceAll('"', "");
    try {
      return new Intl.DateTimeFormat(undefined, chosen && chosen !== "local" ? { timeZone: chosen } : {}).resolvedOptions().timeZone;
    } catch {
      return undefined;
    }
  };

  const showTimes = (within) => {
    const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short", timeZone: zone() });
    for (const time of within.querySelectorAll("time[datetime]")) {
      time.title = time.dateTime;
      time.textContent = format.format(new Date(time.dateTime));
    }
  };

  // Airflow shows a plugin's page in a sandboxed frame, in which links to other sites, new tabs and the rest of Airflow
  // do not open. The page around it is of the same origin and not sandboxed: it follows the link in our place.
  const leadOut = (event) => {
    const link = event.target.closest?.("a[data-outside], a[data-airflow]");
    if (!link || self === parent || event.defaultPrevented) return;
    try {
      const double = parent.document.createElement("a");
      double.href = link.href;
      if ("outside" in link.dataset) {
        double.target = "_blank";
        double.rel = "noopener noreferrer";
      }
      parent.document.body.append(double);
      double.click();
      double.remove();
      event.preventDefault();
    } catch {
      // framed by somebody else: the link does what it can
    }
  };

  const copy = async (event) => {
    const button = event.target.closest?.("button[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    const text = source.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl+C";
    }
  };

  // An address tells what was chosen, not what was left alone.
  const leaveOutEmpty = (event) => {
    if (event.detail.verb !== "get") return;
    for (const [name, value] of Object.entries(event.detail.parameters)) {
      if (value === "") delete event.detail.parameters[name];
    }
  };

  document.addEventListener("htmx:configRequest", leaveOutEmpty);
  document.addEventListener("click", leadOut);
  document.addEventListener("click", copy);
  document.addEventListener("DOMContentLoaded", () => showTimes(document));
  for (const swapped of ["htmx:afterSwap", "htmx:oobAfterSwap"]) {
    document.addEventListener(swapped, () => showTimes(document));
  }
})();
