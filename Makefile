# Every target works on a fresh clone: what it needs is set up first. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Everything: training, tests, report.
READY := .venv/.ready
# What the demo runs: PyTorch and the report.
DEMO  := .venv/.ready-demo
# Commands and report only, for a login node (training is in the container).
LOGIN := .venv/.ready-login
# What planning and reporting need is in either.
ANY   := $(firstword $(wildcard $(READY) $(DEMO) $(LOGIN)) $(READY))

PY    := .venv/bin/python
IMAGE ?= train-cpu
# Three processes (those with a real Slurm mostly wait), a file at a time, and nothing of the caller's own runs or site.
TEST  := env -u HPC_ROOT -u HPC_CLUSTER $(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder
# Where `make check` has its temporary files: in memory where there are 4 GB of it, for half of its time went to the
# disk. `make test` and CI are on a disk.
QUICK := $(shell df --output=avail /dev/shm 2>/dev/null | awk -v user="$$(id -u)" '$$1 > 4000000 { found = 1 } \
  END { print (found ? "/dev/shm" : "$${TMPDIR:-/tmp}") "/hpc-check-" user }')
# How long to search, or to soak.
fuzz: SECONDS ?= 120
soak: SECONDS ?= 600
# Options for the command behind a target: make submit EXP=lora_sweep ARGS="--dry-run"
ARGS  ?=

.PHONY: help setup setup-login demo check test fuzz soak manifests submit report image cluster-up cluster-down lint bench gpu-check sbom audit docs docs-site clean

help: ## This list
	@awk -F ' *## ' '/^[a-z-]+:.*##/ { sub(/:.*/, "", $$1); printf "  make %-14s %s\n", $$1, $$2 }' Makefile

$(READY): pyproject.toml constraints.txt scripts/setup
	@scripts/setup train,report,dev,docs-site && touch $@

$(DEMO): pyproject.toml constraints.txt scripts/setup
	@scripts/setup demo,report && touch $@

$(LOGIN): pyproject.toml constraints.txt scripts/setup
	@scripts/setup report && touch $@

setup: $(READY) ## .venv with everything, at the versions that were tested
	@echo "setup: .venv is ready"

setup-login: $(LOGIN) ## .venv with the commands and the report only, for a login node
	@echo "setup: .venv is ready"

demo: $(firstword $(wildcard $(READY)) $(DEMO)) ## The main job on this machine without Slurm: plan, run, one failure healed, report
	@scripts/demo

check: $(READY) ## Lint and every test that is quick and needs no cluster, image, training or browser: before each commit
	@scripts/lint
	@mkdir -p -m 700 $(QUICK)
	@TMPDIR=$(QUICK) HYPOTHESIS_PROFILE=brief $(TEST) -o tmp_path_retention_policy=failed \
	  -m "not far and not cluster and not train and not slow" $(ARGS)

test: ## All tests; sets up first, on Debian as root also Slurm, Apptainer and the images
	@scripts/parts packages
	@$(MAKE) --no-print-directory $(READY)
	@scripts/parts apptainer
	@scripts/parts images
	@scripts/parts browser
	$(TEST) $(ARGS)

fuzz: $(READY) ## Any bytes for every reader (SECONDS=120 each), then the property tests with many new examples, an hour or so
	@$(PY) -m tests.fuzz.run --seconds $(SECONDS)
	@HYPOTHESIS_PROFILE=long $(TEST) -m hypothesis --timeout 3600 $(ARGS)

soak: $(READY) ## Submit, kill, fill the disk, collect, purge: SECONDS=600 of it on this machine; a table of what is left
	@$(PY) -m benchmarks.soak --seconds $(SECONDS)

manifests: $(ANY) ## EXP=NAME: check, expand and freeze an experiment, write its Slurm scripts (CLUSTER=PROFILE)
	@test -n "$(EXP)" || { echo "usage: make manifests EXP=lora_sweep [CLUSTER=lab]" >&2; exit 2; }
	@$(PY) -m hpc.plan "$(EXP)" $(if $(CLUSTER),--cluster "$(CLUSTER)") $(ARGS)

submit: $(ANY) ## EXP=NAME: submit what is not done yet
	@test -n "$(EXP)" || { echo "usage: make submit EXP=lora_sweep" >&2; exit 2; }
	@$(PY) -m hpc.submit "$(EXP)" $(ARGS)

report: $(ANY) ## [EXP=NAME]: collect, and build the statistical report (default: the experiment planned last)
	@$(PY) -m hpc.collect $(if $(EXP),"$(EXP)"); code=$$?; [ $$code -le 1 ] || exit $$code
	@$(PY) -m analysis.report $(if $(EXP),"$(EXP)") $(ARGS)

image: $(if $(filter train-cpu,$(IMAGE)),$(READY)) ## [IMAGE=train-cpu]: build a container image (train: for clusters with GPUs)
	@[ -n "$$(type -P apptainer)" ] || [ ! -x /usr/bin/apt-get ] || scripts/lab/install-apptainer
	@containers/build.sh "$(IMAGE)"

cluster-up: ## Start a real Slurm of four nodes on this machine, under .lab/slurm
	@scripts/parts packages
	@scripts/lab/slurm start
	@echo 'now: eval "$$(scripts/lab/slurm env)"; export HPC_CLUSTER=lab'

cluster-down: ## Stop it
	@scripts/lab/slurm stop

lint: $(READY) ## ruff, mypy, shellcheck, generated documentation
	@scripts/lint

bench: $(READY) ## Measurements beside their floors and peers, written to docs/benchmarks.md
	@$(PY) benchmarks/run.py $(ARGS)

gpu-check: $(READY) ## On a machine with a GPU: the tests that need one, under ten minutes; record in docs/gpu-check.md
	@$(PY) -m benchmarks.gpu_check $(ARGS)

sbom: $(ANY) ## A bill of materials of what make setup installs: build/sbom.json (CycloneDX)
	@mkdir -p build && $(PY) scripts/sbom.py locks/all.txt > build/sbom.json && echo "written: build/sbom.json"

audit: ## Known vulnerabilities of what make setup installs, by pip-audit; needs the Internet
	@test -x build/audit/bin/pip-audit || { python3 -m venv build/audit && build/audit/bin/pip --quiet install "pip-audit>=2.9,<3"; }
	@sed 's/ --hash=.*//; s/+cpu$$//' locks/all.txt > build/audit/packages.txt
	@build/audit/bin/pip-audit --no-deps --disable-pip --requirement build/audit/packages.txt $(ARGS)

docs: $(READY) ## Write the generated pages of docs/
	@$(PY) docs/generate.py

docs-site: $(READY) ## Build the documentation as a site, without any network: build/site/index.html
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs --quiet build && echo "written: build/site/index.html"

clean: ## Remove .venv and caches; runs, images and the cluster stay
	@rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.lab/*' -not -path './runs/*' -prune -exec rm -rf {} +
