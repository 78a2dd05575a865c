# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one exception of this collection, and how a task that failed is told from its result."""

from __future__ import annotations

from typing import Any, Mapping


class EtcdError(Exception):
    """Something the operator must know: what is wrong, where, and what to do next.

    ``message`` names the place (host, file, command and its exit code) and the cause in one sentence, ``next_step``
    says what to do. Everything else is context for a machine to read; it must hold no secret.
    """

    def __init__(self, message: str, next_step: str = "", **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step
        self.context = context

    def __str__(self) -> str:
        return f"{self.message} Next: {self.next_step}" if self.next_step else self.message


class Damaged(EtcdError):
    """What was read is not what it should be: it is to blame itself, and neither the host nor the way to it."""


def has_failed(result: Mapping[str, Any]) -> bool:
    """Whether a task did not do its work on a host, or the host is gone."""
    return bool(result.get("failed") or result.get("unreachable"))
