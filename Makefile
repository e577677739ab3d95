PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LIVEKIT := observers/livekit
LIVEKIT_VERSION := v1.13.5
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mise-voice
LIVEKIT_SERVER := $(CACHE)/livekit-server-$(LIVEKIT_VERSION)/server
WITH_LIVEKIT := tests/livekit/agent.py tests/livekit/avatar.py tests/livekit/caller.py tests/livekit/scripted.py bench/crowd.py
IN_ROOMS := LIVEKIT_SERVER=$(LIVEKIT_SERVER) tests/livekit/namespace.sh $(BIN)/python
PIPECAT := observers/pipecat
# Today's lowest pipecat-ai that the observer promises to run with (1.14.0) is its newest, so there is one environment;
# the next release asks for a lowest.lock (uv pip compile --resolution lowest-direct) and .venv-lowest beside it.
PIPECAT_READY := $(PIPECAT)/.venv-newest/.ready

.PHONY: help run test test-pipecat test-livekit lint format bench bench-livekit accuracy fuzz chaos lock clean

help:  ## Show the verbs
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

run: $(READY)  ## Start everything, ingest a real call, print its turns from ClickHouse, serve until Ctrl-C
	@$(BIN)/mise-voice run

test: $(READY)  ## Run every test (real Kafka, real ClickHouse engine)
	@$(BIN)/python -m pytest

test-pipecat: $(PIPECAT_READY)  ## Test the observer for Pipecat, in an environment of its own
	@cd $(PIPECAT) && .venv-newest/bin/python -m pytest

ROOMS := $(READY) $(LIVEKIT)/.venv-newest/.ready $(LIVEKIT)/.venv-lowest/.ready $(PIPECAT_READY) $(LIVEKIT_SERVER)

test-livekit: $(ROOMS)  ## Test the observers in rooms of a real LiveKit server (Linux; needs Go 1.26, iproute2)
	@cd $(LIVEKIT) && .venv-newest/bin/python -m pytest
	@cd $(LIVEKIT) && .venv-lowest/bin/python -m pytest
	@$(IN_ROOMS) -m pytest tests/livekit

lint: $(READY) $(LIVEKIT)/.venv-newest/.ready $(PIPECAT_READY)  ## Format check, ruff, mypy --strict, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	MYPYPATH=$(LIVEKIT)/tests:tests/unit/observers $(BIN)/mypy --python-executable $(LIVEKIT)/.venv-newest/bin/python $(LIVEKIT)/src $(LIVEKIT)/tests
	MYPYPATH=tests/unit/observers $(BIN)/mypy --python-executable $(PIPECAT)/.venv-newest/bin/python $(PIPECAT)/src $(PIPECAT)/tests
	MYPYPATH=$(LIVEKIT)/tests:tests/unit/observers $(BIN)/mypy --explicit-package-bases --python-executable $(LIVEKIT)/.venv-newest/bin/python $(WITH_LIVEKIT)
	$(BIN)/mypy --explicit-package-bases --python-executable $(PIPECAT)/.venv-newest/bin/python tests/livekit/pipecat_agent.py
	$(BIN)/lint-imports

format: $(READY)  ## Format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)  ## Measure every stage; tables on screen, JSON under bench/results/
	@OPENBLAS_NUM_THREADS=1 $(BIN)/python -m bench

bench-livekit: $(ROOMS)  ## Measure what the LiveKit observer costs callers and agents (8 minutes)
	@$(IN_ROOMS) -m bench.livekit

accuracy: $(READY)  ## Hold the features against Praat, openSMILE and annotations; writes docs/accuracy.md
	@$(BIN)/python -m tests.evaluation.report

fuzz: $(READY)  ## Fuzz the decoder and the features, ten minutes each (atheris)
	@$(BIN)/python -m tests.fuzz.decode -max_total_time=600
	@$(BIN)/python -m tests.fuzz.measure -max_total_time=600

chaos: $(READY)  ## Prove delivery by faults, every kind once, eleven on stock Faust (hours); goes on where it was; prints the table
	@$(BIN)/python -m tests.chaos
	@$(BIN)/python -m tests.chaos --path stock --seeds 2,5,8,13-16,18,26,58,59

LOCK := uv pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet --upgrade
LOCK_LIVEKIT := $(LOCK) $(LIVEKIT)/pyproject.toml --extra test --python-version 3.10 --no-emit-package mise-observer

lock:  ## Pin the dependencies anew (needs uv)
	$(LOCK) pyproject.toml --all-extras --output-file requirements.lock
	$(LOCK_LIVEKIT) --output-file $(LIVEKIT)/newest.lock
	$(LOCK_LIVEKIT) --resolution lowest-direct --output-file $(LIVEKIT)/lowest.lock
	$(LOCK) $(PIPECAT)/pyproject.toml --extra test --python-version 3.11 --no-emit-package mise-observer \
		--output-file $(PIPECAT)/newest.lock

clean:  ## Remove the environment, caches and local data
	rm -rf $(VENV) $(LIVEKIT)/.venv-* $(PIPECAT)/.venv-* .mise-voice .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache bench/results tests/evaluation/.sample dist .chaos

# Installed once; again when what is to be installed has changed.
$(READY): pyproject.toml observers/core/pyproject.toml $(LIVEKIT)/pyproject.toml $(PIPECAT)/pyproject.toml requirements.lock deploy/embedded/kafka.lock
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"Python 3.11 or newer is needed, {sys.executable} is {sys.version.split()[0]}; name another: make PYTHON=python3.12")'
	@echo "Installing into $(VENV) (about a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --quiet --editable . --editable observers/core --editable $(LIVEKIT) --editable $(PIPECAT)
	@echo "Fetching Apache Kafka"
	@$(BIN)/python -m deploy.embedded.kafka fetch
	@touch $(READY)

# The observer for LiveKit runs with the newest and the lowest livekit-agents that it promises to, each in its own environment.
$(LIVEKIT)/.venv-%/.ready: $(LIVEKIT)/%.lock $(LIVEKIT)/pyproject.toml observers/core/pyproject.toml
	@echo "Installing into $(@D)"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes --requirement $<
	@$(@D)/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --quiet --editable observers/core --editable $(LIVEKIT)
	@touch $@

$(PIPECAT)/.venv-%/.ready: $(PIPECAT)/%.lock $(PIPECAT)/pyproject.toml observers/core/pyproject.toml
	@echo "Installing into $(@D)"
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --require-hashes --requirement $<
	@$(@D)/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --quiet --editable observers/core --editable $(PIPECAT)
	@touch $@

$(LIVEKIT_SERVER):
	@command -v go >/dev/null || { echo "Go 1.26 or newer is needed to build livekit-server $(LIVEKIT_VERSION), and is not on the PATH"; exit 1; }
	@echo "Building livekit-server $(LIVEKIT_VERSION) (about four minutes the first time)"
	@GOBIN=$(@D) go install github.com/livekit/livekit-server/cmd/server@$(LIVEKIT_VERSION)
