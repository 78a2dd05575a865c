# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings that a program of root's goes by: a JSON file that nobody else could have written."""

from __future__ import annotations

import os
from typing import NamedTuple, Type, TypeVar

from ..core import strict_json
from ..core.errors import EtcdError
from ..core.values import Misfit, from_plain
from .trust import weakness

T = TypeVar("T")


class File(NamedTuple):
    """What is said of a file: ``what`` it is, as the subject of a sentence (with ``be`` and ``it``), ``made`` how it is made, and
    ``mended`` what to do about a wrong one; ``missing`` is the sentence for one that is not there, without its path.
    """

    what: str
    be: str
    it: str
    missing: str
    made: str
    mended: str


def believed(kind: Type[T], path: str, of: File) -> T:
    """The settings in the file. EtcdError for one that is missing, wrong, or could have been written by others."""
    weak = weakness(path)
    if weak and os.path.lexists(path):
        raise EtcdError(f"{of.what} {path} {of.be} not believed: {weak}.", f"let only root write {of.it}.")
    try:
        return from_plain(kind, strict_json.read_file(path, of.what, of.mended))
    except FileNotFoundError as error:
        raise EtcdError(f"{of.missing} {path}.", of.made) from error
    except Misfit as error:
        raise EtcdError(f"{of.what} {path} cannot be understood: {error}.", of.mended) from error
