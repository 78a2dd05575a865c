# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host answers as a whole: its settings with their places, tools, and how its member is reached."""

from __future__ import annotations

import os
import socket

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import edits as settings
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import formats
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import facts_of, tools_of
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.fake_host import (
    DEBIAN_UNIT,
    PLAIN_UNIT,
    YAML,
    debian,
)


class TestNothingThere:
    def test_an_empty_host_is_a_normal_answer(self, host):
        found = host.discover()
        assert (found["found"], found["running"], found["pid"], found["name"]) == (False, False, None, "")
        assert found["config"] == {"format": "", "path": ""}
        assert found["tools"] == {"etcd": None, "etcdctl": None, "etcdutl": None}
        assert found["tools_missing"]["etcd"].startswith("no etcd in ")

    def test_options_alone_describe_a_new_host(self, host):
        found = host.discover(name="m1", peer_urls=["http://a:2380"], client_urls=["http://a:2379"], data_dir="/d")
        assert (found["found"], found["name"], found["peer_urls"]) == (False, "m1", ["http://a:2380"])
        assert found["connection"]["endpoints"] == ["http://a:2379"]
        assert found["data"]["exists"] is False
        assert found["data"]["is_etcd"] is True
        assert isinstance(found["data"]["device"], int)
        assert {disk["path"] for disk in found["disk"]} == {"/d", "/var/lib/quorum-etcd"}

    def test_an_absent_unit(self, host):
        host.show = {"LoadState": "not-found", "ActiveState": "inactive", "MainPID": "0"}
        assert host.discover()["service"]["state"] == "absent"


class TestDebian:
    def test_stopped_with_nothing_configured(self, host):
        debian(host, "# nothing\n", ActiveState="inactive", MainPID="0", UnitFileState="disabled")
        found = host.discover()
        assert (found["found"], found["running"]) == (True, False)
        assert found["name"] == socket.gethostname()
        assert found["data_dir"] == "/var/lib/etcd/default"
        assert found["service"]["state"] == "stopped"
        assert found["service"]["enabled"] is False
        assert found["service"]["user"] == "etcd"
        assert found["config"] == {"format": "env", "path": "/etc/default/etcd"}
        assert found["peer_urls"] == ["http://localhost:2380"]
        assert found["client_urls"] == ["http://localhost:2379"]

    def test_the_environment_file_goes_before_the_unit(self, host):
        debian(host, 'ETCD_NAME="m1"\n', ActiveState="inactive", MainPID="0")
        found = host.discover()
        assert found["settings"]["name"] == {
            "value": "m1",
            "kind": "variable",
            "format": "env",
            "path": "/etc/default/etcd",
        }
        assert found["settings"]["data-dir"]["path"] == "/usr/lib/systemd/system/etcd.service"

    def test_running_settings_are_traced_to_their_files(self, host):
        debian(host, "ETCD_NAME=m1\nETCD_INITIAL_CLUSTER_STATE=existing\n")
        environ = {
            "ETCD_NAME": "m1",
            "ETCD_DATA_DIR": "/var/lib/etcd/default",
            "ETCD_INITIAL_CLUSTER_STATE": "new",
            "ETCD_DEBUG": "1",
        }
        host.process(40, ["/usr/bin/etcd"], environ)
        host.put("/var/lib/etcd/default/member/snap/db", "x" * 100)
        found = host.discover()
        assert (found["running"], found["pid"]) == (True, 40)
        assert found["initial_cluster_state"] == "new"  # what runs; the file was edited since
        assert found["settings"]["initial-cluster-state"]["value"] == "existing"
        assert found["settings"]["debug"] == {"value": "1", "kind": "variable", "format": "process", "path": ""}
        assert found["data"]["has_member"] is True
        assert found["data"]["db_size"] == 100

    def test_flags_in_daemon_args_are_set_where_they_stand(self, host):
        text = 'DAEMON_ARGS="--name m7 --initial-cluster-state=new"  \nETCD_DEBUG=1\n'
        debian(host, text, ActiveState="inactive", MainPID="0")
        found = host.discover()
        assert found["name"] == "m7"
        assert found["unsettable"] == []
        (edit,) = settings.plan_edits(host.facts(), {"initial-cluster-state": "existing", "initial-cluster-token": "t"})
        assert edit.path == "/etc/default/etcd"
        expected = text.replace("=new", "=existing") + "ETCD_INITIAL_CLUSTER_TOKEN=t\n"
        assert edit.edited(text) == expected
        assert edit.edited(expected) == expected

    def test_without_systemctl_the_files_are_read(self, host):
        debian(host, "ETCD_NAME=m1\n")
        host.show = None
        host.put("/etc/systemd/system/etcd.service.d/10-x.conf", "[Service]\nEnvironment=ETCD_DATA_DIR=/srv\n")
        found = host.discover()
        assert found["data_dir"] == "/srv"
        assert found["settings"]["data-dir"]["path"] == "/etc/systemd/system/etcd.service.d/10-x.conf"
        assert found["service"]["state"] == "unknown"

    def test_edits_of_the_packages_unit_go_into_a_drop_in(self, host):
        debian(host, None, ActiveState="inactive", MainPID="0")
        edits = settings.plan_edits(host.facts(), {"data-dir": "/srv", "initial-cluster-state": "new"})
        assert [edit.path for edit in edits] == ["/etc/systemd/system/etcd.service.d/zz-quorum-etcd.conf"]
        assert formats.edit("unit", edits[0].seed, edits[0].settings).startswith("[Service]\nEnvironment=")

    def test_an_enabled_unit(self, host):
        debian(host)
        found = host.discover(config_file="/etc/default/etcd")
        assert found["service"]["enabled"] is True
        assert found["service"]["manifest"] == ""
        assert found["data_dir"] == "/var/lib/etcd/default"  # the unit's own, beside the file that was named

    def test_a_template_unit(self, host):
        text = "[Service]\nExecStart=/usr/bin/etcd --name=%i --data-dir=/srv/%i\n"
        host.put("/etc/systemd/system/etcd@.service", text)
        assert host.discover(service_name="etcd@m2")["data_dir"] == "/srv/m2"


class TestPlainUnit:
    def test_flags_and_variables_in_them(self, host):
        host.put("/etc/systemd/system/etcd.service", PLAIN_UNIT)
        host.put("/etc/etcd.env", "PEERS=m1=http://a:2380\nETCD_INITIAL_CLUSTER_TOKEN=tok\nETCD_NAME=overruled\n")
        host.show = {
            "LoadState": "loaded", "ActiveState": "active", "MainPID": "40", "FragmentPath": "/etc/systemd/system/etcd.service",
        }  # fmt: skip
        argv = [
            "/usr/local/bin/etcd",
            "--name",
            "m1",
            "--data-dir=/var/lib/etcd",
            "--initial-cluster",
            "m1=http://a:2380",
        ]
        argv += ["--initial-cluster-token=tok", "--initial-cluster-state=new"]
        host.process(40, argv, {"ETCD_NAME": "overruled", "ETCD_INITIAL_CLUSTER_TOKEN": "tok"})
        for running in (True, False):
            found = host.discover()
            assert found["name"] == "m1"
            assert found["initial_cluster"] == "m1=http://a:2380"
            assert found["initial_cluster_token"] == "tok"
            places = {name: (place["format"], place["path"]) for name, place in found["settings"].items()}
            assert places["name"] == ("unit", "/etc/systemd/system/etcd.service")
            assert places["initial-cluster-token"] == ("env", "/etc/etcd.env")
            assert places["initial-cluster"] == ("env", "/etc/etcd.env")
            (edit,) = settings.plan_edits(host.facts(), {"initial-cluster": "x"})
            assert edit.edited("PEERS=m1=http://a:2380\n") == "PEERS=x\n"
            if running:
                host.put("/proc/40/cmdline", "")
                host.show.update(ActiveState="inactive", MainPID="0")

    def test_a_wrapper_as_the_main_process(self, host):
        debian(host, "ETCD_NAME=m1\n")
        host.process(40, ["sh", "-c", "x"], comm="sh", exe="/bin/sh")
        host.process(41, ["etcd", "--name=child"], parent=40)
        host.process(50, ["etcd", "--name=stranger"])
        assert host.discover()["pid"] == 41

    def test_a_flag_made_from_a_variable_by_a_wrapper(self, host):
        host.put(
            "/etc/systemd/system/etcd.service",
            '[Service]\nEnvironmentFile=/e\nExecStart=/bin/bash -c "etcd --name=$ETCD_NAME"\n',
        )
        host.put("/e", "ETCD_NAME=m1\nETCD_DATA_DIR=/not/what/runs\n")
        host.process(41, ["etcd", "--name=m1", "--data-dir=/d"], {"ETCD_NAME": "m1"})
        found = host.discover(name="m1", data_dir="/d")
        assert found["settings"]["name"]["path"] == "/e"
        assert found["settings"]["data-dir"]["format"] == "process"


class TestYaml:
    def test_the_configuration_file_counts_alone(self, host):
        host.put("/srv/m1/etcd.conf.yml", YAML)
        host.process(
            9, ["etcd", "--config-file", "etcd.conf.yml", "--name=ignored"], {"ETCD_NAME": "too"}, cwd="/srv/m1"
        )
        found = host.discover()
        assert found["name"] == "m1"
        assert found["data_dir"] == "/srv/m1/data"
        assert found["tls"]["client"]["cert"] == "/srv/m1/tls/server.crt"
        assert found["config"] == {"format": "yaml", "path": "/srv/m1/etcd.conf.yml"}
        edits = settings.plan_edits(host.facts(), {"initial-cluster-state": "existing", "name": "x"})
        assert [edit.path for edit in edits] == ["/srv/m1/etcd.conf.yml"]

    def test_named_by_a_variable(self, host):
        host.put("/etc/e.yml", "name: v\ndata-dir: /d\n")
        host.process(9, ["etcd"], {"ETCD_CONFIG_FILE": "/etc/e.yml"})
        assert host.discover()["name"] == "v"

    def test_stopped(self, host):
        host.put("/srv/m1/etcd.conf.yml", YAML.replace("data-dir: data", "data-dir: /srv/m1/data"))
        found = host.discover(
            config_file="/srv/m1/etcd.conf.yml", service_manager="command", start_command="sh x start"
        )
        assert (found["found"], found["running"], found["name"]) == (True, False, "m1")
        assert found["data_dir"] == "/srv/m1/data"
        assert found["service"]["state"] == "stopped"

    def test_a_file_that_is_not_understood_is_named(self, host):
        host.put("/srv/e.yml", "name: a\nname: b: c\n")
        with pytest.raises(EtcdError, match="/srv/e.yml: line 2 "):
            host.discover(config_file="/srv/e.yml")


class TestTools:
    def test_a_script_is_never_asked(self, host):
        host.tool("/usr/bin/etcd", "3.6.1")
        host.put("/usr/bin/etcd", "#!/bin/sh\n", 0o755)
        found = host.discover()
        assert found["tools"]["etcd"] is None
        assert found["tools_missing"]["etcd"] == "/usr/bin/etcd is not run: it is a script, or no program at all"

    @pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
    def test_what_others_can_change_is_not_run(self, host):
        host.tool("/opt/etcd/etcd", "3.6.1")
        os.chown(str(host.root / "opt/etcd/etcd"), 65534, 65534)
        host.tool("/opt/bin/etcdctl", "3.6.1")
        os.chmod(str(host.root / "opt/bin"), 0o777)
        missing = host.discover()["tools_missing"]
        assert "opt/etcd/etcd belongs to nobody, and what root runs must be root's alone" in missing["etcd"]
        assert "opt/bin can be written by others (its mode is 0777)" in missing["etcdctl"]

    def test_the_first_that_runs(self, host):
        host.tool("/b/etcd", "3.5.16")
        host.tool("/usr/bin/etcdctl", "3.4.23")
        host.tool("/usr/local/bin/etcdctl", "3.6.1")
        host.tool("/opt/bin/etcdutl", "")
        found = host.discover(bin_dir="/b")
        assert found["tools"]["etcd"]["version"] == "3.5.16"
        assert found["tools"]["etcdctl"]["version"] == "3.6.1"
        assert found["tools"]["etcdutl"] is None
        assert found["tools_missing"]["etcdutl"] == "/opt/bin/etcdutl does not run: exit code 126: Exec format error"
        tools = host.facts(bin_dir="/b").tools
        assert facts_of(tools_of(tools)) == tools

    def test_beside_the_running_etcd(self, host):
        host.tool("/srv/bin/etcdctl", "3.5.1")
        host.process(5, ["etcd"], exe="/srv/bin/etcd")
        assert host.discover()["tools"]["etcdctl"]["version"] == "3.5.1"


class TestConnection:
    def test_kubesprays_own_client_files_and_explicit_options(self, host):
        env = (
            "ETCD_ADVERTISE_CLIENT_URLS=https://a:2379\nETCD_CERT_FILE=/m.pem\nETCD_TRUSTED_CA_FILE=/ca.pem\n"
            "ETCDCTL_CERT=/admin.pem\nETCDCTL_KEY=/admin-key.pem\n"
        )
        host.put("/etc/etcd.env", env)
        found = host.discover(service_manager="command", config_file="/etc/etcd.env", key="/mine.pem")
        assert found["connection"]["cert"] == "/admin.pem"
        assert found["connection"]["key"] == "/mine.pem"
        assert found["connection"]["cacert"] == "/ca.pem"

    def test_no_certificates_for_http(self, host):
        host.put("/etc/etcd.env", "ETCD_LISTEN_CLIENT_URLS=http://0.0.0.0:2379\nETCD_CERT_FILE=/m.pem\n")
        found = host.discover(service_manager="command", config_file="/etc/etcd.env")
        assert found["connection"]["endpoints"] == ["http://127.0.0.1:2379"]
        assert found["connection"]["cert"] == ""

    def test_a_wildcard_tells_no_peer_url(self, host):
        host.put("/etc/etcd.env", "ETCD_LISTEN_PEER_URLS=http://0.0.0.0:2380\n")
        assert host.discover(service_manager="command", config_file="/etc/etcd.env")["peer_urls"] == []

    @pytest.mark.parametrize(
        "advertised, listen, peer, others, endpoint",
        [
            ("http://0.0.0.0:2379", "http://0.0.0.0:2379", "http://10.0.0.1:2380", True, "http://10.0.0.1:2379"),
            ("https://localhost:2379", "https://0.0.0.0:2379", "https://10.0.0.1:2380", True, "https://10.0.0.1:2379"),
            ("http://127.0.0.1:2379", "http://10.0.0.1:2379", "http://10.0.0.1:2380", True, "http://10.0.0.1:2379"),
            ("http://[::]:2379", "http://[::]:2379", "http://[fd00::1]:2380", True, "http://[fd00::1]:2379"),
            # It does not listen there, it is alone, it advertises a name of its own, or all of it is on one machine.
            ("http://127.0.0.1:2379", "http://127.0.0.1:2379", "http://10.0.0.1:2380", True, "http://127.0.0.1:2379"),
            ("http://0.0.0.0:2379", "http://10.0.0.1:4001", "http://10.0.0.1:2380", True, "http://0.0.0.0:2379"),
            ("http://localhost:2379", "http://0.0.0.0:2379", "http://10.0.0.1:2380", False, "http://localhost:2379"),
            ("http://m1:2379", "http://0.0.0.0:2379", "http://10.0.0.1:2380", True, "http://m1:2379"),
            ("http://127.0.0.1:2379", "http://127.0.0.1:2379", "http://127.0.0.1:2380", True, "http://127.0.0.1:2379"),
        ],
    )
    def test_a_client_url_that_leads_every_host_to_itself(self, host, advertised, listen, peer, others, endpoint):
        """Seen: all advertise 0.0.0.0 or localhost, and the proof asked one member three times."""
        cluster = f"m1={peer}" + (",m2=http://10.0.0.2:2380" if others else "")
        names = ("ADVERTISE_CLIENT_URLS", "LISTEN_CLIENT_URLS", "INITIAL_ADVERTISE_PEER_URLS", "INITIAL_CLUSTER")
        values = zip(names, (advertised, listen, peer, cluster))
        host.put("/etc/etcd.env", "".join(f"ETCD_{name}={value}\n" for name, value in values))
        found = host.discover(service_manager="command", config_file="/etc/etcd.env")
        assert found["connection"]["endpoints"] == [endpoint]
        assert found["client_urls"] == [advertised]
        given = host.discover(service_manager="command", config_file="/etc/etcd.env", client_urls=[advertised])
        assert given["connection"]["endpoints"] == [advertised], "what is asked for is taken as it is"

    def test_half_a_health_check_pair_is_none(self, host):
        env = "ETCD_ADVERTISE_CLIENT_URLS=https://a:2379\nETCD_CERT_FILE=/p/server.crt\n"
        host.put("/etc/etcd.env", env)
        host.put("/p/healthcheck-client.crt", "")
        found = host.discover(service_manager="command", config_file="/etc/etcd.env")
        assert found["connection"]["cert"] == "/p/server.crt"

    def test_passwords_are_not_told(self, host):
        host.put("/etc/etcd.env", "ETCD_NAME=a\nETCD_DISCOVERY_PASSWORD=geheim\n")
        assert "geheim" not in str(host.discover(service_manager="command", config_file="/etc/etcd.env"))


def test_the_tools_of_a_dead_member_lie_where_its_unit_starts_it(host):
    unit = DEBIAN_UNIT.replace("ExecStart=/usr/bin/etcd", "ExecStart=/srv/etcd-3.5/bin/etcd")
    assert unit != DEBIAN_UNIT
    debian(host, ActiveState="inactive", MainPID="0")
    host.put("/usr/lib/systemd/system/etcd.service", unit)
    for name in ("etcd", "etcdctl", "etcdutl"):
        host.tool(f"/srv/etcd-3.5/bin/{name}", "3.5.35")
    found = host.discover()
    assert found["tools"]["etcdutl"]["path"].endswith("/srv/etcd-3.5/bin/etcdutl"), found["tools_missing"]


def test_whether_systemd_runs(host):
    debian(host)
    assert host.discover()["systemd"] is False
    host.put("/run/systemd/system/etcd.service.d/own.conf", "")
    assert host.discover()["systemd"] is True
