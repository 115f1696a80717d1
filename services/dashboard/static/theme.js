// Runs before the body is drawn, so that a chosen theme never flashes the other one.
"use strict";
{
  const root = document.documentElement;
  const choices = ["system", "light", "dark"];
  const stored = () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null; // storage is forbidden: the system's theme it is
    }
  };
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  apply(stored());
  // What waits for a page's scripts waits no longer where they do not come.
  root.classList.add("starting");
  setTimeout(() => root.classList.remove("starting"), 3000);

  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    let chosen = choices.includes(stored()) ? stored() : "system";
    const label = () => {
      button.textContent = "◐";
      button.dataset.chosen = chosen;
      button.setAttribute("aria-label", `Theme: ${chosen}`);
      button.title = "Light, dark, or as the system has it";
    };
    button.hidden = false;
    label();
    button.addEventListener("click", () => {
      chosen = choices[(choices.indexOf(chosen) + 1) % choices.length];
      apply(chosen);
      label();
      try {
        localStorage.setItem("theme", chosen);
      } catch {
        // it lasts as long as the page, then
      }
      dispatchEvent(new Event("themechange"));
    });
  });
}
