# The two commands of the README are `make demo` and `make test`. Each sets up what it needs from nothing but
# Python 3.10+ and the package registry.
PYTHON ?= python3
VENV   := .venv
VENV15 := .venv-duckdb15
BIN    := $(VENV)/bin
BIN15  := $(VENV15)/bin
UV     := $(BIN)/uv
# The folder of installed packages.
PACKAGES := "import sysconfig; print(sysconfig.get_path('purelib'))"
# The tests start hundreds of processes: Python keeps the byte code of what they import, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=
# More than cores: many tests wait for other processes, for pauses that they ask for, or for servers.
WORKERS ?= 3

.PHONY: help install demo test lint types test-duckdb2 test-duckdb15 releases soak bench lock plotly clean

help:
	@echo "make demo   real strategies on Lumibot's storage and on ours, compared, and a parameter sweep"
	@echo "make test   lint, types and tests, on DuckDB 2.0 and, where its release matters, on 1.5"
	@echo "make releases  the parity tests on the latest Lumibot releases, and on the oldest that is supported"
	@echo "make soak   what make test leaves out or tries a few times only: all examples, more random numbers"
	@echo "make bench  the benchmarks behind benchmarks/RESULTS.md"

$(UV):
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'

$(VENV)/.installed: $(UV) requirements/locked.txt pyproject.toml
	$(UV) pip install --quiet --python $(BIN)/python -r requirements/locked.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

# Importing all tests compiles the fifth of the packages that is used, once. Errors are those of the tests' own run.
$(VENV)/.compiled: $(VENV)/.installed
	-$(BIN)/python -m pytest --collect-only --quiet > /dev/null
	@touch $@

# This environment has its own DuckDB, and finds everything else in the first one.
$(VENV15)/.installed: $(VENV)/.installed requirements/duckdb15.txt
	$(UV) venv --quiet --allow-existing --python $(BIN)/python $(VENV15)
	$(UV) pip install --quiet --python $(BIN15)/python --no-deps -r requirements/duckdb15.txt -e .
	echo "import site; site.addsitedir('$$($(BIN)/python -c $(PACKAGES))')" > "$$($(BIN15)/python -c $(PACKAGES))/others.pth"
	@touch $@

install: $(VENV)/.compiled

demo: $(VENV)/.installed
	$(BIN)/lumibot-duckdb demo

# mypy works on one core, so the tests begin meanwhile.
test: lint $(VENV15)/.installed
	$(MAKE) --jobs 2 types test-duckdb2
	$(MAKE) test-duckdb15

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed
	$(BIN)/mypy

test-duckdb2: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not long" --durations 15

# What depends on DuckDB's release, and one test or more of each SQL statement. `make soak` runs what is left out here.
test-duckdb15: install $(VENV15)/.installed
	LUMIBOT_DUCKDB_EXAMPLES=0.15 $(BIN15)/python -m pytest -n $(WORKERS) --dist loadgroup \
		-m "older_duckdb and not soak and not long" \
		tests/storage tests/faults/test_killed_writer.py tests/faults/test_torn_checkpoint.py tests/sources/ccxt/old_cache

# Lumibot releases, by default those that tests.releases.registry chooses from the package registry.
RELEASES ?=
export RELEASES

releases: install
	LUMIBOT_RELEASES="$${RELEASES:-$$($(BIN)/python -m tests.releases.registry)}" \
		$(BIN)/python -m pytest tests/releases -m long -rs

# How long eight processes use one store together.
SOAK_SECONDS ?= 3600

soak: install $(VENV15)/.installed releases
	LUMIBOT_DUCKDB_ALTERNATIONS=10000 LUMIBOT_DUCKDB_SOAK_SECONDS=$(SOAK_SECONDS) LUMIBOT_DUCKDB_EXAMPLES=20 \
		$(BIN)/python -m pytest -m "soak or long or hypothesis" --ignore tests/releases --durations 0
	$(BIN15)/python -m pytest -n $(WORKERS) --dist loadgroup -m "not long" \
		tests/storage tests/faults tests/publishing tests/results tests/sources/own_bars tests/sources/ccxt/old_cache \
		tests/cli/test_sql.py tests/cli/test_status.py

bench: install
	$(BIN)/python -m benchmarks

lock: $(UV)
	$(UV) pip compile --quiet --universal --python-version 3.10 --no-emit-index-url --no-annotate \
		--extra dev --extra demo --extra bench pyproject.toml -o requirements/locked.txt

# The bundles of plotly.js in HTML pages, up to the version that the package plotly has. Needs npm.
plotly: install
	$(BIN)/python requirements/plotly_bundles.py \
		"$$($(BIN)/python -c 'import plotly.offline, re; print(re.search(r"plotly.js v([\d.]+)", plotly.offline.get_plotlyjs())[1])')"

clean:
	rm -rf $(VENV) $(VENV15) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
