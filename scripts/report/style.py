"""The page's style sheet."""

STYLE = """
:root { color-scheme: light dark; --back: #f6f6f4; --card: #fff; --ink: #1d1f21; --soft: #5d6166; --line: #dcdcd8;
  --accent: #0067a8; --mark: #eaf3fa; }
@media (prefers-color-scheme: dark) {
  :root { --back: #131416; --card: #1d1f22; --ink: #e6e6e3; --soft: #a3a7ac; --line: #34373b; --accent: #6cb6e8;
    --mark: #22323f; }
  .chart img { filter: invert(0.885) hue-rotate(180deg); mix-blend-mode: lighten; }
  .wide:not(.chart) img { border-radius: 6px; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; background: var(--back); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 .8rem; font-size: 1.9rem; overflow-wrap: anywhere; }
h2 { margin: 0; font-size: 1.35rem; }
h3 { margin: 0 0 .5rem; font-size: 1rem; }
.kind { margin: 0; color: var(--soft); }
section { margin-top: 2.6rem; }
section > p { margin: .2rem 0 1rem; max-width: 46rem; }
dl { margin: 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .6rem 1rem; }
dt { color: var(--soft); font-size: .85rem; }
dd { margin: 0; overflow-wrap: anywhere; }
.facts dd { font-weight: 600; }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); }
.options { margin-top: .6rem; }
.options div { display: grid; grid-template-columns: minmax(7rem, 11rem) 1fr; gap: 1rem; padding: .15rem 0; }
.options dd { font-family: ui-monospace, monospace; font-size: .85rem; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; }
a { color: var(--accent); }
.parts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); gap: 1rem; }
figure { margin: 0; padding: 1rem; min-width: 0; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; }
.wide { grid-column: 1 / -1; }
.scroll { overflow-x: auto; }
img { display: block; width: 100%; max-width: 32rem; height: auto; margin: 0 auto; }
.wide img { min-width: 34rem; max-width: 50rem; }
figcaption { margin-top: .6rem; color: var(--soft); font-size: .9rem; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { white-space: nowrap; color: var(--soft); font-weight: 600; }
td { white-space: nowrap; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 13rem; }
.marked { background: var(--mark); font-weight: 600; }
"""
