# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The jobs that change a cluster, by name."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.module_utils.core.machinery import Job
from ansible_collections.quorum.etcd.plugins.module_utils.members.failover_drill import FAILOVER_DRILL
from ansible_collections.quorum.etcd.plugins.module_utils.members.founding import FOUNDING
from ansible_collections.quorum.etcd.plugins.module_utils.members.member_replace import MEMBER_REPLACE
from ansible_collections.quorum.etcd.plugins.module_utils.members.switch_leader import SWITCH_LEADER
from ansible_collections.quorum.etcd.plugins.plugin_utils.restore_job import RESTORE

JOBS: dict[str, Job] = {
    job.words.name: job for job in (RESTORE, SWITCH_LEADER, MEMBER_REPLACE, FAILOVER_DRILL, FOUNDING)
}
