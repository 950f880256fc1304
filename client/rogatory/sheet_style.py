"""How the custody sheet looks, on a screen and on A4."""

from typing import Final

CSS: Final = """
:root { --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --wash: #f6f8fa;
  --good: #1a6b34; --bad: #a4161a; --open: #8a5a00; }
* { box-sizing: border-box; }
html { background: #eceff2; }
body { margin: 0 auto; padding: 14mm 16mm; max-width: 210mm; background: var(--paper); color: var(--ink);
  font: 10.5pt/1.45 "Source Serif 4", "Noto Serif", Georgia, serif; }
h1, h2, h3, th, .verdict, .status, .kind, footer {
  font-family: "Source Sans 3", "Noto Sans", "Helvetica Neue", Arial, sans-serif; }
header { border-bottom: 2px solid var(--ink); padding-bottom: 3mm; margin-bottom: 6mm; }
.kind { margin: 0; letter-spacing: .08em; text-transform: uppercase; font-size: 8.5pt; color: var(--soft); }
h1 { margin: 0; font-size: 22pt; line-height: 1.15; }
h2 { margin: 9mm 0 2.5mm; padding-bottom: 1mm; border-bottom: 1px solid var(--line); font-size: 13pt; }
h3 { margin: 5mm 0 1.5mm; font-size: 11pt; }
p { margin: 0 0 2.5mm; }
.verdict { border: 1.5px solid var(--bad); border-left-width: 8px; padding: 3.5mm 5mm; margin: 0 0 6mm; }
.verdict.good { border-color: var(--good); }
.verdict strong { display: block; font-size: 15pt; color: var(--bad); }
.verdict.good strong { color: var(--good); }
.verdict p { margin: 1mm 0 0; font-size: 10pt; }
table { width: 100%; border-collapse: collapse; font-size: 9pt; }
caption { text-align: left; color: var(--soft); padding-bottom: 1.5mm; font-style: italic; }
th, td { text-align: left; vertical-align: top; padding: 1.2mm 2.5mm 1.2mm 0; border-bottom: 1px solid var(--line); }
thead th { font-size: 8pt; letter-spacing: .03em; color: var(--soft); border-bottom: 1px solid var(--ink); }
tbody th { font-weight: 600; }
dl { display: grid; grid-template-columns: 42mm 1fr; margin: 0; font-size: 9.5pt; }
dt { color: var(--soft); padding: .7mm 0; }
dd { margin: 0; padding: .7mm 0; overflow-wrap: anywhere; }
code { font: 8pt/1.4 "Source Code Pro", "Noto Sans Mono", Consolas, monospace; overflow-wrap: anywhere; }
ul { margin: 0 0 2.5mm; padding-left: 5mm; }
table + table, dl + table { margin-top: 4mm; }
.checks th:first-child { width: 34%; }
.items th:first-child { width: 24%; }
.verdict ul { margin: 2mm 0 0; font-size: 9pt; }
.verdict li { overflow-wrap: anywhere; }
.time, .number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.status { font-weight: 700; font-size: 8.5pt; white-space: nowrap; }
.pass { color: var(--good); } .fail { color: var(--bad); } .open { color: var(--open); }
.soft { color: var(--soft); }
footer { margin-top: 10mm; padding-top: 3mm; border-top: 1px solid var(--line); font-size: 8.5pt; color: var(--soft); }
@media screen and (max-width: 40rem) {
  body { padding: 6mm 5mm; }
  table { display: block; overflow-x: auto; }
  dl { grid-template-columns: 1fr; }
  dt { padding-bottom: 0; }
}
@page { size: A4; margin: 16mm 15mm 18mm; }
@media print {
  html { background: none; }
  body { padding: 0; max-width: none; font-size: 9.5pt; }
  thead { display: table-header-group; }
  tr, .verdict, dl, h2, h3 { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
}
"""
