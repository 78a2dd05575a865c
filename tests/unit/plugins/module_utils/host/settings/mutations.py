# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the fuzzers of the readers change a text."""

from __future__ import annotations


def mutated(text, dice, pieces):
    """One to three changes: something is left out, stands twice, or has one of ``pieces`` in its middle."""
    for _mutation in range(dice.randint(1, 3)):
        at, kind = dice.randrange(len(text) + 1), dice.randrange(4)
        if kind == 0:
            text = text[:at] + text[at + dice.randint(1, 3) :]
        elif kind == 1:
            other = dice.randrange(len(text) + 1)
            text = text[:at] + text[other : other + dice.randint(1, 12)] + text[at:]
        else:
            text = text[:at] + dice.choice(pieces) + text[at:]
    return text
