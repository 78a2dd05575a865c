# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the page of a report looks: its colours, and everything else that CSS says."""

from __future__ import annotations

from typing import Mapping, Sequence

# Each colour by its use; every text on its ground has a contrast of 4.5 or more, every bar of 3 or more (WCAG AA).
LIGHT = {
    "page": "#f4f6f8",
    "card": "#ffffff",
    "text": "#1a2129",
    "soft": "#525c68",
    "line": "#cfd6de",
    "link": "#0b4f9e",
    "code": "#eef1f4",
    "good": "#10612b",
    "good-ground": "#dff5e5",
    "bad": "#a11226",
    "bad-ground": "#fde8ea",
    "plain": "#124a86",
    "plain-ground": "#e2effc",
    "outage": "#b3172c",
    "phase-1": "#2b6cb0",
    "phase-2": "#a85400",
    "phase-3": "#7a45d1",
    "phase-4": "#0f766e",
    "phase-5": "#5f6b78",
    "phase-6": "#b02a5b",
}
DARK = {
    "page": "#0e1318",
    "card": "#171d24",
    "text": "#e6ebf1",
    "soft": "#a3adb9",
    "line": "#343d48",
    "link": "#8ec2ff",
    "code": "#0f1419",
    "good": "#86e0a3",
    "good-ground": "#12301e",
    "bad": "#ffa3ab",
    "bad-ground": "#3a161b",
    "plain": "#a6d0ff",
    "plain-ground": "#12283f",
    "outage": "#ff7c88",
    "phase-1": "#6fb1f2",
    "phase-2": "#f0a35a",
    "phase-3": "#b9a0ff",
    "phase-4": "#4fd0bd",
    "phase-5": "#9ba7b4",
    "phase-6": "#ff8fb8",
}
# As many phases of a job can be told apart.
PHASES = 6

STYLE = """
:root { color-scheme: light dark; @LIGHT@ }
@media (prefers-color-scheme: dark) { :root { @DARK@ } }
@media print { :root { color-scheme: light; @LIGHT@ } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text); overflow-wrap: break-word;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem }
header { padding-top: 2.25rem }
footer { padding-bottom: 3rem; color: var(--soft); font-size: .875rem }
h1 { font-size: clamp(1.5rem, 1.1rem + 1.9vw, 2.25rem); line-height: 1.2; margin: .75rem 0 0; text-wrap: balance }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 0 0 .75rem }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem }
p { margin: .5rem 0 }
.whole { white-space: nowrap }
.soft { color: var(--soft) }
.small { font-size: .875rem }
.top { display: flex; flex-wrap: wrap; align-items: center; gap: .5rem .75rem; color: var(--soft); font-size: .95rem }
.badge { display: inline-flex; align-items: center; gap: .4rem; padding: .2rem .8rem .2rem .6rem; border-radius: 2rem;
  border: 1px solid; font-weight: 650 }
.badge svg { width: 1.1rem; height: 1.1rem; fill: none; stroke: currentColor; stroke-width: 2.5;
  stroke-linecap: round; stroke-linejoin: round }
.good { color: var(--good); background: var(--good-ground) }
.bad { color: var(--bad); background: var(--bad-ground) }
.plain { color: var(--plain); background: var(--plain-ground) }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1.25rem 1.4rem;
  margin: 1.25rem 0 }
section.alarm { border-left: .35rem solid var(--bad) }
section.next { border-left: .35rem solid var(--link) }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; margin: 1.5rem 0 0 }
.facts > div { background: var(--card); border: 1px solid var(--line); border-top: .3rem solid var(--plain);
  border-radius: .75rem; padding: .9rem 1.1rem 1rem }
.facts > .is-good { border-top-color: var(--good) }
.facts > .is-bad { border-top-color: var(--bad) }
.facts dt { color: var(--soft); font-size: .95rem }
.facts dd { margin: 0; color: var(--soft); font-size: .9rem; line-height: 1.45 }
.facts dd.value { color: var(--text); font-size: 1.6rem; font-weight: 700; line-height: 1.25; margin: .1rem 0 .35rem }
ol, ul { margin: 0; padding-left: 1.4rem }
li { margin: .6rem 0 }
li::marker { color: var(--soft); font-weight: 650 }
pre { margin: .4rem 0 0; padding: .6rem .8rem; background: var(--code); border: 1px solid var(--line);
  border-radius: .4rem; white-space: pre-wrap; font: .875rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas,
  "DejaVu Sans Mono", "Liberation Mono", monospace }
code, pre { overflow-wrap: anywhere }
pre.command { user-select: all; -webkit-user-select: all }
pre .line { display: block; padding-left: 6ch; text-indent: -6ch }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace;
  font-size: .875em }
.on { display: block; color: var(--soft); font-size: .875rem; margin-top: .5rem }
table { border-collapse: collapse; width: 100%; font-size: .95rem }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-top: 1px solid var(--line);
  font-variant-numeric: tabular-nums }
tr:first-child > * { border-top: 0 }
thead th { color: var(--soft); font-weight: 500; font-size: .875rem }
tbody th { font-weight: 600 }
.verdict { padding: .05rem .5rem; border-radius: .6rem; font-size: .875rem; white-space: nowrap }
.pairs th { width: 11rem; color: var(--soft); font-weight: 500 }
details { margin-top: .75rem }
summary { cursor: pointer; color: var(--link); width: fit-content }
summary:focus-visible, pre:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
details > :not(summary) { margin-top: .75rem }
figure { margin: 0 0 1.25rem }
figcaption { color: var(--soft); font-size: .9rem; margin-bottom: .25rem }
figcaption strong { color: var(--text) }
.timeline { display: block; font-size: 12px; fill: var(--text); overflow: visible }
.timeline .host { font-size: 13px; font-weight: 650 }
.timeline .tick { fill: var(--soft) }
.timeline .grid { stroke: var(--line) }
.timeline .axis { stroke: var(--soft) }
.timeline .outage { fill: var(--outage); font-size: 13px; font-weight: 700 }
.timeline .nowrites { fill: var(--outage) }
.timeline .tint { fill: var(--outage); fill-opacity: .1 }
.timeline .edge { stroke: var(--outage); stroke-width: 1.5 }
.timeline .stripe { stroke: var(--outage); stroke-opacity: .18 }
.timeline .bar { stroke-width: 2 }
.timeline .broken { fill: var(--card); stroke-dasharray: 4 3 }
.timeline text:not(.onbar) { paint-order: stroke; stroke: var(--card); stroke-width: 3px; stroke-linejoin: round }
.timeline .onbar { fill: var(--card); font-weight: 650 }
@PHASES@
.key { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; padding: 0; font-size: .875rem;
  color: var(--soft) }
.key li { display: flex; align-items: center; gap: .4rem; margin: 0 }
.key svg { width: 18px; height: 12px; flex: none }
@media (max-width: 34rem) {
  header, main, footer { padding-left: .9rem; padding-right: .9rem }
  section { padding: 1rem }
  .pairs, .pairs tbody, .pairs tr, .pairs th, .pairs td { display: block; width: auto }
  .pairs th { padding-bottom: 0 }
  .pairs td { border-top: 0; padding-top: 0 }
  .stacks thead { position: absolute; clip-path: inset(50%) }
  .stacks tr { display: grid; grid-template-columns: 1fr auto; border-top: 1px solid var(--line) }
  .stacks tr > * { border-top: 0; padding-right: 0 }
  .stacks tr > :last-child { grid-column: 1 / -1; padding-top: 0 }
}
@media print {
  body { font-size: 10pt; background: none }
  header, main, footer { max-width: none; padding: 0 }
  section, .facts > div { border-radius: 0; padding: .5rem .75rem }
  section { border-width: 1px 0 0; margin: .75rem 0 }
  .facts { grid-template-columns: repeat(3, 1fr) }
  .facts > div, figure, tr, li, pre.command { break-inside: avoid }
  h2, h3, .on, summary { break-after: avoid }
  th, td { padding-top: .15rem; padding-bottom: .15rem }
  summary { color: inherit }
  details::details-content { content-visibility: visible; block-size: auto }
  .timeline rect, .key rect, .badge, .verdict, .facts > div { print-color-adjust: exact; -webkit-print-color-adjust: exact }
}
"""


def style(phases: Sequence[str]) -> str:
    """The style sheet, in which each phase of the job has a colour."""
    bars = "\n".join(
        f".{phase} {{ fill: var(--phase-{at % PHASES + 1}); stroke: var(--phase-{at % PHASES + 1}) }}"
        for at, phase in enumerate(phases)
    )
    return STYLE.replace("@LIGHT@", _variables(LIGHT)).replace("@DARK@", _variables(DARK)).replace("@PHASES@", bars)


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
