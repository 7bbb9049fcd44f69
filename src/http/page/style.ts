import { createHash } from "node:crypto";

/*
 * The colours have a contrast of at least 4.5 to 1 on both backgrounds (WCAG AA); a test with axe-core checks that.
 * Sizes of images are attributes, because the page's content security policy allows only this style sheet.
 */
const LIGHT = `
  --ground: #f4f6f4; --paper: #ffffff; --ink: #1b2320; --quiet: #56625d; --edge: #d9dfdb; --link: #17577f;
  --good: #1c6b40; --warning: #8a5200; --bad: #b3261e; --new: #28608f; --area: #28608f26; --rest: #dde4e0;
  --good-paper: #e9f4ed; --warning-paper: #fdf3e1; --bad-paper: #fdebe9; --new-paper: #e8f1f8;`;
const DARK = `
  --ground: #111614; --paper: #1a211e; --ink: #e7ece9; --quiet: #a3afa9; --edge: #2f3a35; --link: #8cc4ea;
  --good: #74d39b; --warning: #efb65c; --bad: #ff938a; --new: #85bdec; --area: #85bdec2e; --rest: #33403a;
  --good-paper: #16261d; --warning-paper: #2b2314; --bad-paper: #321b19; --new-paper: #16242f;`;

/** The page's only style sheet. */
export const PAGE_STYLE = `
:root { color-scheme: light dark; ${LIGHT} }
@media (prefers-color-scheme: dark) { :root { ${DARK} } }
@media print { :root { ${LIGHT} color-scheme: light; --ground: #ffffff; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1rem clamp(.75rem, 3vw, 2rem) 2rem; max-width: 76rem; background: var(--ground);
  color: var(--ink); font: 1rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  overflow-wrap: anywhere; }
h1, h2, h3, p, ul, dl, figure, table { margin: 0; padding: 0; }
h1 { font-size: 1.35rem; line-height: 1.3; font-weight: 650; text-wrap: balance; }
h2 { font-size: 1.05rem; font-weight: 650; margin: 0 0 .6rem; }
h3 { font-size: 1rem; font-weight: 650; min-width: 0; }
ul { list-style: none; }
a { color: var(--link); text-underline-offset: .15em; text-decoration-thickness: 1px; }
a:hover { text-decoration-thickness: 2px; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
code { font: .9em/1.4 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
section { margin-top: 2rem; }
h3 a, tbody th a { color: inherit; text-decoration-color: var(--quiet); }
.muted, .absolute, .server, .place { color: var(--quiet); }
.server { font-weight: 400; }
.small, .absolute, .place { font-size: .85rem; }
.block { display: block; }
.relative, .absolute { display: inline-block; }
.error { color: var(--bad); font-size: .9rem; }
.error .absolute { color: inherit; }

header, .brand, .paging, footer nav, header nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; }
.brand { gap: .35rem; font-size: 1.1rem; }
header nav { margin-left: auto; }
header nav a, footer nav a, .paging > * { display: inline-block; padding: .3rem 0; }
footer { margin-top: 2.5rem; padding-top: 1rem; border-top: 1px solid var(--edge); color: var(--quiet); font-size: .85rem; }
.paging { margin-top: .8rem; }

.shape { flex: none; width: 1em; height: 1em; vertical-align: -.125em; }
.shape .cut { fill: none; stroke: var(--paper); stroke-width: 2; stroke-linecap: round; stroke-linejoin: round; }
.shape .line { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; }
.state { display: inline-flex; gap: .4em; align-items: baseline; font-weight: 600; }
.state .shape { transform: translateY(.125em); }
.good { color: var(--good); } .warning { color: var(--warning); } .bad { color: var(--bad); }
.new { color: var(--new); } .quiet { color: var(--quiet); }

.verdict { display: flex; gap: .9rem; margin-top: 1rem; padding: 1.1rem 1.2rem; border-radius: .6rem; border: 1px solid; }
.verdict > .shape { width: 2rem; height: 2rem; }
.verdict > div { color: var(--ink); min-width: 0; }
.verdict > div > * + * { margin-top: .6rem; }
.verdict.good { background: var(--good-paper); } .verdict.warning { background: var(--warning-paper); }
.verdict.bad { background: var(--bad-paper); } .verdict.new { background: var(--new-paper); }
.problems .state { font-weight: 400; }
.problems li + li { margin-top: .2rem; }

.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: .8rem; }
.card, .rows > li, table { background: var(--paper); border: 1px solid var(--edge); border-radius: .5rem; }
.card { display: flex; flex-direction: column; gap: .65rem; padding: .9rem 1rem; min-width: 0; }
.edge { border-left: 4px solid currentColor; }
.edge > * { color: var(--ink); }
.edge > .place { color: var(--quiet); }
.edge > .error { color: var(--bad); }
.top { display: flex; flex-wrap: wrap; gap: .1rem .8rem; justify-content: space-between; align-items: baseline; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(7.5rem, 1fr)); gap: .5rem 1rem; }
.fact { min-width: 0; }
dt { font-size: .8rem; color: var(--quiet); }
dd { margin: 0; font-variant-numeric: tabular-nums; }
dd .relative { font-weight: 600; }
dd .state { font-size: .95em; gap: .3em; }
dd .absolute, td .absolute { display: block; }
dd .absolute { font-size: .8rem; }
td .absolute { white-space: nowrap; }
.marks { display: grid; grid-template-columns: 1fr 1fr 1fr 1.3fr 1fr; gap: .15rem; text-align: center; }
.marks .digit { display: inline-block; min-width: 1.9em; padding: .05em .3em; border: 1px solid currentColor;
  border-radius: .4rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.marks .lost { text-decoration: line-through; text-decoration-thickness: 2px; }
.marks .not_set_up, .marks .not_demanded { border-style: dashed; font-weight: 400; }
.marks .label { display: block; font-size: clamp(.62rem, 3.1vw, .75rem); line-height: 1.25; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.copies { font-size: .85rem; color: var(--quiet); }
.copies li + li { margin-top: .15rem; }
.rows > li { padding: .7rem 1rem; }
.rows > li + li { margin-top: .5rem; }
.space p { font-size: .9rem; }
.bar { display: block; height: .5rem; border-radius: .25rem; margin: .25rem 0; }
.bar .rest { fill: var(--rest); }

.sparks { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; margin-top: auto; }
.spark svg { display: block; width: 100%; height: 2.5rem; margin-top: .15rem; }
.spark figcaption { font-size: .8rem; color: var(--quiet); }
.spark b { color: var(--ink); font-variant-numeric: tabular-nums; }
.spark path { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; stroke-linecap: round; }
.spark .ground { stroke: var(--edge); stroke-width: 1; }
.spark .area { fill: var(--area); }
.spark .curve { stroke: var(--new); stroke-width: 1.75; }
.spark .failure { stroke: var(--bad); stroke-width: 2.5; stroke-linecap: butt; }
.spark .newest { stroke: var(--new); stroke-width: 6; }

.year { margin-top: .8rem; }
.calendar figcaption { font-size: .85rem; color: var(--quiet); }
.calendar svg { display: block; width: 100%; height: auto; max-width: 60rem; margin-top: .4rem; }
.day rect { fill: var(--rest); }
.day.good rect { fill: var(--good); } .day.warning rect { fill: var(--warning); } .day.bad rect { fill: var(--bad); }
.day path { fill: none; stroke: var(--paper); stroke-width: 2; }

details { margin-top: .8rem; }
summary { cursor: pointer; padding: .3rem 0; color: var(--link); }
.brief { columns: 24rem; column-gap: 2rem; font-size: .9rem; }
.brief li { break-inside: avoid; padding: .15rem 0; }

table { width: 100%; border-collapse: separate; border-spacing: 0; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem; font-weight: 400; }
tbody th { font-weight: 600; }
.id { display: inline-block; min-width: 1.5rem; margin-top: .2rem; padding: .2rem 0; }
.job { min-width: 8rem; }
.when { min-width: 7rem; }
tbody tr > * { border-top: 1px solid var(--edge); }
thead th { font-size: .8rem; color: var(--quiet); }
.number { white-space: nowrap; text-align: right; }
thead th.number { text-align: right; }
.inline { display: flex; flex-wrap: wrap; gap: .1rem .8rem; }
.inline .state { font-weight: 400; }

@media (max-width: 46rem) {
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  table, tbody { display: block; }
  tbody tr { display: flex; flex-wrap: wrap; gap: .15rem .9rem; padding: .6rem .9rem; }
  tbody tr + tr { border-top: 1px solid var(--edge); }
  tbody tr > * { display: block; min-width: 0; padding: 0; border: 0; flex: 1 1 100%; }
  tbody th { flex: 1 1 8rem; order: -1; }
  td.state-cell { flex: 0 1 auto; order: -1; }
  .inline, .inline li { display: inline; }
  .inline li + li { margin-left: .8rem; }
  tbody td.number { flex: 0 0 auto; text-align: left; }
  td[data-label]::before { content: attr(data-label) " "; color: var(--quiet); font-size: .8rem; }
  td .absolute { display: inline; }
  header nav { margin-left: 0; }
  .verdict { padding: .8rem .9rem; gap: .6rem; }
  .verdict > .shape { width: 1.5rem; height: 1.5rem; }
  h1 { font-size: 1.2rem; }
}
@media print {
  :root { font-size: 10pt; }
  body { max-width: none; padding: 0; }
  header nav, footer nav, .paging { display: none; }
  .card, .rows > li, tr { break-inside: avoid; }
  .verdict, .bar, .spark svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  a { color: inherit; text-decoration: none; }
}
`;

/** The hash for the content security policy: `style-src 'sha256-…'`, without the quotes. */
export const PAGE_STYLE_HASH = `sha256-${createHash("sha256").update(PAGE_STYLE).digest("base64")}`;
