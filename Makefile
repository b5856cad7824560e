# Every target works on a fresh clone: what it needs is set up first. `make` alone lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Everything: training, tests, report.            Commands and report only, for a login node (training is in the container).
READY := .venv/.ready
LOGIN := .venv/.ready-login
# What planning and reporting need is in either.
ANY   := $(firstword $(wildcard $(READY) $(LOGIN)) $(READY))

PY    := .venv/bin/python
IMAGE ?= train-cpu
# Options for the command behind a target: make submit EXP=lora_sweep ARGS="--dry-run"
ARGS  ?=

.PHONY: help setup setup-login demo test manifests submit report image cluster-up cluster-down lint bench docs clean

help: ## This list
	@awk -F ' *## ' '/^[a-z-]+:.*##/ { sub(/:.*/, "", $$1); printf "  make %-14s %s\n", $$1, $$2 }' Makefile

$(READY): pyproject.toml constraints.txt scripts/setup
	@scripts/setup train,report,dev && touch $@

$(LOGIN): pyproject.toml constraints.txt scripts/setup
	@scripts/setup report && touch $@

setup: $(READY) ## .venv with everything, at the versions that were tested
	@echo "setup: .venv is ready"

setup-login: $(LOGIN) ## .venv with the commands and the report only, for a login node
	@echo "setup: .venv is ready"

demo: $(READY) ## The main job on this machine without Slurm: plan, run, one failure healed, report
	@scripts/demo

test: ## All tests; sets up first, on Debian as root also Slurm, Apptainer and the images
	@scripts/parts packages
	@$(MAKE) --no-print-directory $(READY)
	@scripts/parts apptainer
	@scripts/parts images
	@scripts/parts browser
	env -u HPC_ROOT -u HPC_CLUSTER $(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

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
	@[ -n "$$(type -P apptainer)" ] || [ ! -x /usr/bin/apt-get ] || containers/lab/install-apptainer
	@containers/build.sh "$(IMAGE)"

cluster-up: ## Start a real Slurm of four nodes on this machine, under .lab/slurm
	@scripts/parts packages
	@containers/lab/slurm start
	@echo 'now: eval "$$(containers/lab/slurm env)"; export HPC_CLUSTER=lab'

cluster-down: ## Stop it
	@containers/lab/slurm stop

lint: $(READY) ## ruff, mypy, shellcheck, generated documentation
	@scripts/lint

bench: $(READY) ## Measurements beside their floors and peers, written to docs/benchmarks.md
	@$(PY) benchmarks/run.py $(ARGS)

docs: $(READY) ## Write the generated pages of docs/
	@$(PY) docs/generate.py

clean: ## Remove .venv and caches; runs, images and the cluster stay
	@rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -not -path './.lab/*' -not -path './runs/*' -prune -exec rm -rf {} +
