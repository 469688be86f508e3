// Draws the runs of 14 days; the numbers stand in the canvas' data, and in the table below it.
"use strict";

(() => {
  let chart;

  const draw = () => {
    const canvas = document.getElementById("runs");
    if (!canvas) return;
    const days = JSON.parse(canvas.dataset.days);
    const style = getComputedStyle(document.documentElement);
    // A custom property keeps its light-dark() unresolved: an element's own colour does not.
    const colour = (name) => {
      const probe = document.createElement("span");
      probe.className = `badge ${name}`;
      canvas.parentElement.append(probe);
      const found = getComputedStyle(probe).color;
      probe.remove();
      return found;
    };
    const text = getComputedStyle(document.body).color;
    const bars = ["success", "failed", "skipped"].map((state) => ({
      label: state,
      data: days.map((day) => day[state]),
      backgroundColor: colour(state),
    }));
    chart?.destroy();
    chart = new Chart(canvas, {
      type: "bar",
      data: { labels: days.map((day) => day.day), datasets: bars },
      options: {
        animation: false,
        maintainAspectRatio: false,
        font: { family: style.fontFamily },
        plugins: { legend: { labels: { color: text } } },
        scales: {
          x: { stacked: true, ticks: { color: text } },
          y: { stacked: true, beginAtZero: true, ticks: { color: text, precision: 0 } },
        },
      },
    });
  };

  document.addEventListener("DOMContentLoaded", draw);
  document.addEventListener("partner-center:theme", draw);
  document.addEventListener("htmx:oobAfterSwap", (event) => event.detail.target.id === "known" && draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
