# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The off-site stores that a play gives, or else those of the host's own agent, for as long as a module needs them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Any, Iterator, Mapping, Sequence, Tuple

from ..backup.store_settings import StoreSettings, store_of
from ..backup.stores import Store
from ..backup.wanted_stores import wanted_stores
from ..core.errors import EtcdError
from ..etcd.commands import Run
from .settings import PATH, load


@contextlib.contextmanager
def given_stores(
    run: Run, given: Sequence[Mapping[str, Any]], cluster: str, folder: str, state_dir: str, needed: bool
) -> Iterator[Tuple[Store, ...]]:
    """The stores that were ``given``, whose secrets lie in files of root's alone for the time of the block; else the agent's.

    Where neither has any, EtcdError if they are ``needed``, else none.
    """
    with contextlib.ExitStack() as stack:
        settings = stack.enter_context(_written(given, (folder, state_dir))) if given else _of_agent(cluster, needed)
        yield tuple(store_of(one, cluster, folder, run) for one in settings)


@contextlib.contextmanager
def _written(given: Sequence[Mapping[str, Any]], own: Sequence[str]) -> Iterator[Tuple[StoreSettings, ...]]:
    with tempfile.TemporaryDirectory(prefix="quorum-etcd-") as private:
        stores = wanted_stores(given, own, private)
        for store in stores:
            for path, text in store.files.items():
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
        yield tuple(store.settings for store in stores)


def _of_agent(cluster: str, needed: bool) -> Tuple[StoreSettings, ...]:
    nowhere = "set etcd_backup_offsite, as it was when the cluster was backed up."
    if not os.path.exists(PATH):
        if needed:
            raise EtcdError("no off-site store is set, and this host has no agent that would know one.", nowhere)
        return ()
    settings = load(PATH)
    if settings.cluster != cluster:
        if needed:
            cause = f"the agent of this host is that of cluster {settings.cluster}, and not of {cluster}."
            raise EtcdError(cause, nowhere)
        return ()
    return settings.offsite
