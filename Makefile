# Everything a person runs. `make` alone lists it.
SHELL := /bin/sh
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEEP_MINUTES ?= 30
# Demo and tests run hundreds of short commands: a quarter of their time would be compiling the same modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: compiled help venv demo serve test deep check bench system node lock vectors docs clean

help: ## list what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.run: requirements/run.txt pyproject.toml custody/pyproject.toml client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: python 3.11 or newer is needed, found: $$($(PYTHON) -V)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e custody -e client -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

venv: $(VENV)/.dev ## set up .venv with everything the work on the project needs

lock: $(VENV)/.dev ## renew the hashed requirement files
	cd requirements && for n in run dev; do ../$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-annotate $$n.in -o $$n.txt; done

compiled: $(VENV)/.run
	@$(BIN)/python -m compileall -q app client custody demo migrations storage || :

demo: $(VENV)/.run compiled ## two authorities hand over evidence and prove it offline; EVIDENCE=path for your own
	@$(BIN)/python -m demo $(if $(EVIDENCE),--evidence "$(EVIDENCE)")

serve: $(VENV)/.run ## run the service on embedded defaults; state in ./var
	@$(BIN)/rogatory-server serve

system: ## install what the tests need of the system (age, ewf-tools, e2fsprogs, go, node, browsers); root and apt
	@./tests/system.sh install

node: tests/node/node_modules/.done
tests/node/node_modules/.done: tests/node/package.json tests/node/package-lock.json
	cd tests/node && npm ci --silent --no-audit --no-fund
	@touch $@

test: $(VENV)/.dev compiled ## everything: sets up what is missing, then the whole suite
	@./tests/system.sh ensure
	@$(MAKE) --no-print-directory node
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

deep: $(VENV)/.dev ## what scales, for DEEP_MINUTES=30 or as long as given; DEEP_SEED makes a run again
	@./tests/system.sh ensure
	@$(MAKE) --no-print-directory node
	DEEP_MINUTES=$${DEEP_MINUTES:-$(DEEP_MINUTES)} $(BIN)/python -m pytest -n 2 -m deep --dist worksteal

check: $(VENV)/.dev ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## measure against others, write docs/bench.md; QUICK=1 for small sizes, VAST=1 for 10 GiB too, ONLY="s3 records"
	@./tests/system.sh ensure
	@cd bench/node && npm ci --silent --no-audit --no-fund
	@$(BIN)/python -m bench $(if $(QUICK),--quick) $(if $(VAST),--vast) $(if $(ONLY),--only $(ONLY)) $(if $(OUTPUT),--output $(OUTPUT))

vectors: $(VENV)/.dev ## write the vectors again from the independent reference
	@for f in tests/vectors/generate_*.py; do $(BIN)/python $$f; done

docs: $(VENV)/.dev ## write the generated parts of the documentation, and verifier.html, again
	@$(BIN)/python docs/generate.py
	@$(BIN)/python verifier/build.py

clean: ## remove the environment and everything built
	rm -rf $(VENV) tests/node/node_modules bench/node/node_modules build demo-run .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info */*.egg-info
