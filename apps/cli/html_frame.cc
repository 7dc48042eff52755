#include "cli/html_frame.h"

namespace kilter::cli {

const std::string_view kPageStyle = R"css(
:root { color-scheme: light dark; --back: #ffffff; --text: #1c1e21; --dim: #667085; --line: #d9dde3;
  --hot: #d1491f; --cold: #f3f5f8; --bar: #3b6fb6; --warn: #b4540a; }
@media (prefers-color-scheme: dark) {
  :root { --back: #16181c; --text: #e4e6ea; --dim: #98a2b3; --line: #363b44;
    --hot: #ff7a45; --cold: #1f2329; --bar: #7fa9e0; --warn: #f0a35c; } }
* { box-sizing: border-box; }
body { margin: 2rem auto; max-width: 90rem; padding: 0 1.25rem; background: var(--back); color: var(--text);
  font: 14px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
p { margin: .25rem 0 .75rem; max-width: 60rem; } .dim { color: var(--dim); } .warn { color: var(--warn); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.25rem; margin: .75rem 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; max-height: 80vh; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; }
th, td { padding: .2rem .55rem; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--line); }
thead th { position: sticky; top: 0; background: var(--back); z-index: 1; }
table.sort thead th { cursor: pointer; } th[data-down]::after { content: " ↓"; } th[data-up]::after { content: " ↑"; }
td.n, th.n { text-align: right; }
td.name, .name { font-family: ui-monospace, monospace; font-size: 12.5px; }
table.heat { width: auto; } table.heat td { min-width: 3.6rem; text-align: right; font-size: 12px;
  background: color-mix(in srgb, var(--hot) calc(var(--v, 0) * 1%), var(--cold)); border: 1px solid var(--back); }
table.heat td.none { background: none; } table.heat td.mark { outline: 2px solid var(--warn); outline-offset: -2px; }
table.heat tbody th { font-weight: normal; font-family: ui-monospace, monospace; font-size: 12.5px; }
svg.bars { width: 8rem; height: 1.1rem; vertical-align: middle; } svg.bars path { fill: var(--bar); }
svg.bars.wide { width: 100%; max-width: 40rem; height: 6rem; }
)css";

const std::string_view kPageScript = R"js(
for (const head of document.querySelectorAll("table.sort thead th")) {
  head.addEventListener("click", () => {
    const row = head.parentNode, body = row.closest("table").tBodies[0];
    const at = [...row.children].indexOf(head), up = "down" in head.dataset;
    for (const one of row.children) { delete one.dataset.up; delete one.dataset.down; }
    head.dataset[up ? "up" : "down"] = "";
    const of = (line) => { const cell = line.children[at];
      return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent; };
    const sign = up ? 1 : -1;
    const lines = [...body.rows].map((line) => [of(line), line]);
    lines.sort(([a], [b]) => sign * (typeof a === "number" ? a - b : -a.localeCompare(b)));
    body.append(...lines.map(([, line]) => line));
  });
}
)js";

}  // namespace kilter::cli
