# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a report: well-formed, by itself, escaped, and to be read by everybody."""

from __future__ import annotations

import copy
import json
import re
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.report.data import Given, build, unplanned
from ansible_collections.quorum.etcd.plugins.module_utils.report.markup import VOID, Markup, tag
from ansible_collections.quorum.etcd.plugins.module_utils.report.page import render
from ansible_collections.quorum.etcd.plugins.module_utils.report.style import DARK, LIGHT, PHASES
from ansible_collections.quorum.etcd.plugins.module_utils.restore.reported import REPORT

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
NOW = "2026-11-24T15:01:00Z"
HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=y>&amp;\u202e\x00\udcff"


def recorded(name="restored", **changes):
    return Given(**{**json.loads((FIXTURES / f"report-{name}.json").read_text()), **changes})


def refused():
    refusal = {"cluster": "etcd", "host": "h", "cause": "too little room.", "next_step": "make room."}
    warning = {"cluster": "etcd", "host": "", "cause": "an old etcd."}
    return recorded(plan={**recorded().plan, "hosts": {}, "refusals": [refusal], "warnings": [warning]}, journals={})


def unreachable():
    journals = {host: entries for host, entries in recorded().journals.items() if not host.startswith("etcd3")}
    journals["etcd2.example.org"] = journals["etcd2.example.org"][:4]
    return recorded(journals=journals, reasons=[{"host": "etcd3.example.org", "text": "unreachable"}])


def nothing_begun():
    journals = {host: [] for host in recorded().journals}
    return recorded(journals=journals, reasons=[{"host": "", "text": "no room"}])


def slow_staging():
    """The journals of the restore, as if the staging had begun two minutes before."""
    journals = copy.deepcopy(recorded().journals)
    for entries in journals.values():
        begun = datetime.strptime(entries[0]["time"], "%Y-%m-%dT%H:%M:%S.%fZ") - timedelta(seconds=120)
        entries[0]["time"] = begun.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return recorded(journals=journals)


def fifteen_hosts():
    """The run on five hosts, as if it had been on fifteen with long names."""
    given = recorded("rolled-back")
    plan, journals = copy.deepcopy(given.plan), dict(given.journals)
    for number in range(6, 16):
        host = f"etcd-{number}.a-long-name.of-a-rack.in-a-region.example.org"
        plan["hosts"][host], journals[host] = copy.deepcopy(plan["hosts"]["m1"]), journals["m1"]
        plan["hosts"][host]["member"]["name"] = f"m{number}"
    return recorded("rolled-back", plan=plan, journals=journals)


KINDS = {
    "restored": recorded,
    "rolled-back": lambda: recorded("rolled-back"),
    "check": lambda: recorded(check=True),
    "unconfirmed": lambda: recorded(unconfirmed="run again with -e etcd_restore_confirm=etcd"),
    "refused": refused,
    "unreachable": unreachable,
    "nothing begun": nothing_begun,
    "unplanned": lambda: Given(plan=unplanned({"h": "etcd"}), unseen=[{"host": "h", "text": "no Python"}]),
    "slow staging": slow_staging,
    "fifteen hosts": fifteen_hosts,
}


class Page(HTMLParser):
    """Elements, texts and attributes of a page; complains where an element is not closed in its turn."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.texts, self.ids = [], [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *attribute) for attribute in attrs]
        self.ids += [value for key, value in attrs if key == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)


def page_of(given, cluster="etcd"):
    return render(build(cluster, given, NOW, REPORT), REPORT)


@pytest.mark.parametrize("kind", KINDS)
def test_every_page_is_well_formed_and_needs_nothing_else(kind):
    text = page_of(KINDS[kind]())
    page = Page(text)
    assert text.startswith("<!DOCTYPE html>\n<html lang=") and page.tags.count("h1") == 1
    assert not {"script", "link", "img", "iframe", "object", "image", "use"} & set(page.tags)
    assert not [attribute for attribute in page.attributes if attribute[1] in ("src", "href", "xlink:href", "style")]
    assert not re.search(r"@import|url\((?!#)|https?://(?!127\.0\.0\.1)", text)
    assert not [attribute for attribute in page.attributes if attribute[1].startswith("on")]
    assert len(page.ids) == len(set(page.ids))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_that_comes_from_outside_is_markup(kind):
    """Each text that a host, an operator or etcd could have chosen, replaced by one that wants to be markup."""
    given = KINDS[kind]()
    plan = copy.deepcopy(given.plan)
    plan["clusters"] = {HOSTILE: plan["clusters"]["etcd"]}
    plan["clusters"][HOSTILE].setdefault("snapshot", {}).update({"path": HOSTILE, "on": HOSTILE, "sha256": HOSTILE})
    plan["clusters"][HOSTILE]["members"] = {HOSTILE: HOSTILE}
    for own in plan["hosts"].values():
        own["of"]["cluster"] = own["member"]["name"] = HOSTILE
        own["member"]["service"] = {"manager": "systemd", "name": HOSTILE}
        own["swaps"][0].update(live=HOSTILE, aside=HOSTILE)
        own["config"][0].update(path=HOSTILE, after={HOSTILE: HOSTILE})
    plan["hosts"] = {f"{host}{HOSTILE}": own for host, own in plan["hosts"].items()}
    for item in plan["refusals"] + plan["warnings"]:
        item.update(cluster=HOSTILE, host=HOSTILE, cause=HOSTILE, next_step=HOSTILE)
    plan["warnings"] = [{"cluster": HOSTILE, "host": HOSTILE, "cause": HOSTILE}]
    journals = {f"{host}{HOSTILE}": entries for host, entries in (given.journals or {}).items()}
    for entries in journals.values():
        for entry in entries:
            for check in entry.get("checks", []):
                check.update(what=HOSTILE, expected=[HOSTILE], found={HOSTILE: HOSTILE})
    changed = Given(
        plan=plan,
        text=[HOSTILE],
        journals=journals,
        summary=[HOSTILE],
        reasons=[{"host": HOSTILE, "text": HOSTILE}] if given.reasons else (),
        unseen=[{"host": HOSTILE, "text": HOSTILE}] if given.unseen else (),
        check=given.check,
        unconfirmed=given.unconfirmed,
    )
    text = page_of(changed, HOSTILE)
    page = Page(text)
    assert not {"script", "img"} & set(page.tags)
    assert any("<script>alert" in text for text in page.texts), "it is shown as what it is"
    assert not re.search("[\x00\u202e\udcff]", text)
    text.encode("utf-8")


def test_an_attribute_cannot_be_left():
    assert tag("p", "<b>", title='"><b>') == '<p title="&quot;&gt;&lt;b&gt;">&lt;b&gt;</p>'
    assert tag("p", [Markup("<b></b>"), None, 0], open=True, id=None, aria_label=1) == (
        '<p open aria-label="1"><b></b>0</p>'
    )


# ---- the picture -----------------------------------------------------------------------------------------------------


def test_the_timeline_has_each_phase_of_each_host_and_the_table_the_same():
    report = build("etcd", recorded(), NOW, REPORT)
    page = Page(render(report, REPORT))
    bars = [
        value for name, key, value in page.attributes if name == "rect" and key == "class" and value.startswith("bar")
    ]
    assert len(bars) == sum(len(host["phases"]) for host in report["hosts"].values()) == 15
    assert page.tags.count("svg") - 1 - 5 == 1, "besides the badge and the key there is one picture"
    text = "\n".join(page.texts)
    for words in ("no writes: ", "The whole run", "The same in numbers", "etcd1.example.org (m1)"):
        assert words in text, words
    labels = re.findall(r"^(?:stage|stop|cutover|prove|finish) [\d.]+ s$", text, re.MULTILINE)
    assert len(labels) == 30, "each once beside its bar and once in the table"
    assert ("svg", "role", "img") in page.attributes and "Timeline of 3 hosts" in text


def test_an_outage_too_narrow_to_see_is_shown_enlarged_too():
    text = page_of(slow_staging())
    assert "The outage, enlarged" in text
    enlarged = text[text.index("The outage, enlarged") :]
    enlarged = enlarged[: enlarged.index("</svg>")]
    assert "stage" not in re.sub(r"class=\"[^\"]*\"", "", enlarged), "what was long before is not in it"
    assert "The outage, enlarged" not in page_of(recorded())


def test_many_hosts_have_a_lane_each_and_names_that_fit_a_telephone():
    text = page_of(fifteen_hosts())
    picture = text[text.index('class="timeline"') : text.index("</figure>")]
    assert picture.count('class="host"') == 15 and "rollback 1" not in picture, "the table has the lengths"
    names = re.findall(r'class="host"[^>]*>([^<]*)<', picture)
    assert max(map(len, names)) <= 40 and "etcd-7.a-long-na…egion.example.org (m7)" in names, names
    height = int(re.search(r'height="(\d+)" class="timeline"', text).group(1))
    assert height < 15 * 50 + 100


def test_phases_that_were_broken_off_say_so_in_words():
    text = page_of(recorded("rolled-back"))
    assert "broken off" in text and "bar prove broken" in text
    assert "no writes: at least" in text
    text = page_of(unreachable())
    assert "etcd3.example.org (m3): no word from it" in text and "stop: no end" in text


def test_places_stay_inside_the_picture():
    for given in (recorded(), recorded("rolled-back"), unreachable(), slow_staging()):
        places = [float(number) for number in re.findall(r'(?:x|x1|x2|width)="(-?[\d.]+)%"', page_of(given))]
        assert places and min(places) >= 0 and max(places) <= 100


def test_without_a_journal_there_is_no_timeline():
    assert "Timeline" not in page_of(recorded(check=True))
    assert "Timeline" not in page_of(refused())


# ---- to be read by everybody -----------------------------------------------------------------------------------------


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXTS = [("text", "page"), ("text", "card"), ("text", "code"), ("soft", "page"), ("soft", "card"), ("link", "card")]
TEXTS += [(state, f"{state}-ground") for state in ("good", "bad", "plain")] + [("outage", "card")]
BARS = [f"phase-{number + 1}" for number in range(PHASES)]


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_contrasts_are_those_of_wcag_aa(colours):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for text, ground in TEXTS:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for phase in BARS:
        assert contrast(colours[phase], colours["card"]) >= 4.5, "a bar may carry its label"
    assert set(LIGHT) == set(DARK)
