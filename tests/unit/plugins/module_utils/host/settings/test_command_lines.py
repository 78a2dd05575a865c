# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""etcd's settings in the command lines that people write: behind wrappers, in scripts, in variables, in containers."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host.discovery import discover
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import edits as settings
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import formats
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings.command_lines import (
    expanded,
    locate,
    mounts,
    options,
)

CLUSTER = "m1=http://a:2380,m2=http://b:2380"
WANTED = {"initial-cluster": CLUSTER, "initial-cluster-token": "t-1", "initial-cluster-state": "existing"}


@pytest.mark.parametrize(
    ("words", "arguments", "passes"),
    [
        ("etcd --name m1", "--name m1", True),
        ("/usr/bin/taskset -c 0,1 /usr/bin/etcd --name=m1", "--name=m1", True),
        ("env GOMAXPROCS=2 etcd", "", True),
        ("nice -n -5 ionice -c2 etcd -name m1", "-name m1", True),
        ("docker run --name etcd -v /d:/d quay.io/etcd:v3 /usr/local/bin/etcd --name m1", "--name m1", False),
        (
            "docker run --name etcd --rm img etcd --data-dir /var/lib/etcd --name x",
            "--data-dir /var/lib/etcd --name x",
            False,
        ),
        ("stdbuf -oL etcd --data-dir /d/etcd --name x", "--data-dir /d/etcd --name x", True),
        ("podman run --name etcd img etcd $OPTS", "$OPTS", False),
    ],
)
def test_etcd_behind_a_wrapper(words, arguments, passes):
    found = locate(words.split())
    assert (found.words, found.passes) == (arguments.split(), passes)


@pytest.mark.parametrize(
    "words",
    [
        ["/opt/start-etcd.sh"], ["docker", "start", "etcd"], ["docker-compose", "up", "etcd"], ["env", "-i", "etcd"], [],
        ["bash", "/opt/run.sh"], ["bash", "-c", ". /etc/etcd.env; etcd"], ["sh", "-c", "ETCD_NAME=x etcd"], ["sudo", "etcd"],
        ["sh", "-c", "etcd --name a & etcd --name b"], ["sh", "-c", "for i in 1; do etcd; done"], ["sh", "-c", "etcd `x`"],
        ["sh", "-c", "export ETCD_NAME=x; etcd"], ["sh", "-c", "cat <<E\netcd\nE"],
    ],
)  # fmt: skip
def test_what_is_not_surely_read_is_not_read(words):
    assert locate(words) is None


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("exec etcd --name=m1", ["--name=m1"]),
        (
            'GOMAXPROCS=$(nproc) /usr/bin/etcd --name="${ETCD_NAME}" --data-dir="/d"',
            ["--name=${ETCD_NAME}", "--data-dir=/d"],
        ),
        (
            "ulimit -n 65536 && exec nice -n 5 etcd --config-file /e.yml >> /var/log/e.log 2>&1",
            ["--config-file", "/e.yml"],
        ),
        ("etcd --name 'a b' \\\n  --x=1; ", ["--name", "a b", "--x=1"]),
        ("mkdir -p /d\netcd --a=b#c", ["--a=b#c"]),
    ],
)
def test_etcd_in_a_script(script, arguments):
    found = locate(["/bin/bash", "-ec", script])
    assert (found.words, found.in_script, found.at) == (arguments, True, 2)


def test_variables_that_hold_flags():
    values = {"OPTS": "--name m1 --x='a b'", "NAME": "m1", "ONE": "--y=z"}
    assert expanded(["$OPTS"], values, False) == [("--name", "OPTS"), ("m1", "OPTS"), ("--x=a b", "OPTS")]
    assert expanded(["${ONE}", "--name", "$NAME"], values, False) == [("--y=z", "ONE"), ("--name", ""), ("$NAME", "")]
    assert expanded(["--client-cert-auth", "$ONE"], values, False)[1] == ("--y=z", "ONE")
    assert expanded(["$NONE"], values, False) == []


def test_options_of_a_containers_client():
    words = ["run", "-e", "ETCD_NAME=m1", "--env=A=b", "--env", "C", "-v", "/data:/in:z", "--volume", "x:/y"]
    words += ["--mount", "type=bind,source=/s,target=/t"]
    assert options(words, "-e", "--env") == ["ETCD_NAME=m1", "A=b", "C"]
    assert mounts(words) == {"/in": "/data", "/y": "x", "/t": "/s"}


# ---- a unit's command, read and set where it stands ------------------------------------------------------------------

UNIT = "/etc/systemd/system/etcd.service"


def host_with(tmp_path, command, environment=""):
    """A host with this command in its unit, not running, and an environment file."""
    unit = tmp_path / UNIT.lstrip("/")
    unit.parent.mkdir(parents=True)
    unit.write_text(f"[Service]\nEnvironmentFile=/etc/etcd.env\n{command}\n")
    (tmp_path / "etc/etcd.env").write_text(environment)

    def run(argv, _env):
        raise FileNotFoundError(2, "none", argv[0])

    return discover({}, run, str(tmp_path))


def edited(tmp_path, member):
    """The texts after a restore's edits, by path."""
    found = {}
    for each in settings.plan_edits(member, WANTED):
        text = (tmp_path / each.path.lstrip("/")).read_text()
        found[each.path] = each.edited(text)
        assert each.edited(found[each.path]) == found[each.path]
    return found


def test_flags_in_a_variable_of_the_environment_file(tmp_path):
    text = 'A=1\nETCD_OPTS="--name m1 --data-dir=/d --initial-cluster m1=http://a:2380 --initial-cluster-state=new" \nB=2\n'
    member = host_with(tmp_path, "ExecStart=/usr/bin/etcd $ETCD_OPTS", text)
    assert (member.name, member.data_dir, member.unsettable) == ("m1", "/d", [])
    changed = next(iter(edited(tmp_path, member).values()))
    expected = text.replace("m1=http://a:2380", CLUSTER).replace("state=new", "state=existing")
    assert changed == expected.replace("B=2", 'ETCD_INITIAL_CLUSTER_TOKEN="t-1"\nB=2')


def test_flags_in_a_shells_script(tmp_path):
    script = 'GOMAXPROCS=$(nproc) /usr/bin/etcd --name=\\"${ETCD_NAME}\\" --data-dir=\\"/d\\" --initial-cluster=\\"m1=http://a:1\\"'
    member = host_with(tmp_path, f'ExecStart=/bin/bash -c "{script}"', "ETCD_NAME=m1\n")
    assert (member.name, member.data_dir, member.initial_cluster) == ("m1", "/d", "m1=http://a:1")
    changed = edited(tmp_path, member)
    assert script.replace("m1=http://a:1", CLUSTER) in changed[UNIT]
    assert '\nEnvironment="ETCD_INITIAL_CLUSTER_TOKEN=t-1"\n' in changed[UNIT]


def test_a_configuration_file_that_a_script_names(tmp_path):
    (tmp_path / "e.yml").write_text("name: m1\ndata-dir: /d\ninitial-cluster: >-\n  m1=http://a:1,\n  m2=http://b:1\n")
    member = host_with(tmp_path, 'ExecStart=/bin/sh -c "exec etcd --config-file /e.yml"', "ETCD_NAME=wrong\n")
    assert (member.name, member.data_dir) == ("m1", "/d")
    assert list(edited(tmp_path, member)) == ["/e.yml"]


def test_behind_taskset(tmp_path):
    member = host_with(
        tmp_path, "ExecStart=/usr/bin/taskset -c 0 /usr/bin/etcd --name m1 --initial-cluster m1=http://a:1"
    )
    assert (member.name, member.unsettable) == ("m1", [])
    changed = edited(tmp_path, member)[UNIT]
    assert f"taskset -c 0 /usr/bin/etcd --name m1 --initial-cluster {CLUSTER} --initial-cluster-token t-1" in changed


def test_in_a_container(tmp_path):
    command = (
        "ExecStart=/usr/bin/docker run --rm --name etcd -v /data/etcd:/var/lib/etcd -e ETCD_NAME=m1 \\\n"
        "  --env-file=/etc/more.env img:1 /usr/local/bin/etcd --data-dir /var/lib/etcd/x --initial-cluster=m1=http://a:1"
    )
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/more.env").write_text("ETCD_INITIAL_CLUSTER_TOKEN=old\n")
    member = host_with(tmp_path, command, "ETCD_NAME=never-seen-by-it\n")
    assert (member.name, member.data_dir) == ("m1", "/data/etcd/x")
    changed = edited(tmp_path, member)
    assert changed["/etc/more.env"] == "ETCD_INITIAL_CLUSTER_TOKEN=t-1\n"
    assert changed[UNIT].endswith(f" --initial-cluster={CLUSTER} \\\n  --initial-cluster-state=existing\n")
    assert "-e ETCD_NAME=m1" in changed[UNIT]
    assert formats.edit("unit", changed[UNIT], {"name": "m9"}) == changed[UNIT].replace("ETCD_NAME=m1", "ETCD_NAME=m9")


@pytest.mark.parametrize("command", ["/opt/etcd.sh", "/usr/bin/docker start -a etcd", "/bin/sh -c '. /etc/x; etcd'"])
def test_never_a_variable_beside_a_command_that_cannot_be_read(tmp_path, command):
    member = host_with(tmp_path, f"ExecStart={command}", "ETCD_NAME=m1\n")
    (problem,) = member.unsettable
    assert f"{command.split()[0]} in ExecStart= of {UNIT} starts etcd in a way that cannot be read" in problem.cause
    assert "initial-cluster, initial-cluster-token and initial-cluster-state" in problem.cause
    assert "--config-file" in problem.next_step
    with pytest.raises(EtcdError, match="cannot be read"):
        formats.edit("unit", f"[Service]\nExecStart={command}\n", {"name": "x"})


def test_a_value_put_together_of_variables_is_known_and_not_set(tmp_path):
    command = (
        "ExecStart=etcd --name=${NAME} --initial-cluster=m1=http://${A}:1 --initial-cluster-token=a$$b --data-dir=$D"
    )
    member = host_with(tmp_path, command, "NAME=m1\nA=10.0.0.1\nD=/d\n")
    assert (member.name, member.initial_cluster) == ("m1", "m1=http://10.0.0.1:1")
    assert member.initial_cluster_token == "a$b"
    assert member.settings["data-dir"].value == "$D", "systemd takes it for a variable as a whole word only"
    (problem,) = member.unsettable
    assert problem.cause.startswith("initial-cluster of the member m1 is put together from variables")


def test_a_pods_script(tmp_path):
    text = """\
spec:
  containers:
  - name: etcd
    command:
    - /bin/sh
    - -c
    - |
      ulimit -n 65536
      exec etcd --name=cp1 --data-dir=/d \\
        --initial-cluster=cp1=https://a:2380
"""
    assert formats.read("static_pod", text) == {
        "name": "cp1",
        "data-dir": "/d",
        "initial-cluster": "cp1=https://a:2380",
    }
    changed = formats.edit("static_pod", text, WANTED)
    assert f"--initial-cluster={CLUSTER}\n" in changed
    assert "exec etcd --initial-cluster-state=existing --initial-cluster-token=t-1 --name=cp1" in changed
    with pytest.raises(EtcdError, match="starts etcd in a way that cannot be read"):
        formats.edit("static_pod", text.replace("ulimit -n 65536", ". /etc/x"), WANTED)


def test_a_pods_own_expansion():
    text = "spec:\n  containers:\n  - name: etcd\n    command: [etcd, --name=$(NODE), --data-dir=/d/$(X)]\n    env:\n"
    text += "    - {name: NODE, value: n1}\n    - {name: X, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}\n"
    assert formats.read("static_pod", text) == {"name": "n1"}
