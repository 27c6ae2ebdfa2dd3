# Needs Python 3.11 or later and make; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := 1

.PHONY: help setup demo test lint format bench notebooks screenshots lock clean

help:  ## list the commands
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed, $(PYTHON) is older; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --progress-bar on -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(BIN)/python -m pip install --quiet --progress-bar on -r requirements-dev.lock
	@touch $@

setup: $(VENV)/.installed  ## make .venv with the `tailor` command in it

demo: setup  ## load real data, train, compare, serve, show a tailored promotion
	$(BIN)/tailor demo

test: $(VENV)/.installed-dev  ## run all tests
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev  ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## mend format and what lint can mend by itself
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Two cores and a quarter of an hour are enough for all of them: the long ones are given less than they take by
# default, which docs/benchmarks.md tells with each table.
LESS_batch := --consumers 10000 --rounds 3
LESS_decision := --histories 100
LESS_faults := --kills 2 --events 30000
LESS_features := --events 1000000 --rounds 3
LESS_freshness := --events 3000
LESS_ingest := --rows 200000 --repeats 1
LESS_memory := --decisions 1000
LESS_new_items := --kind als
LESS_retrain := --budget 20
LESS_unseen := --only made --budget 10
LESS_scale := --promotions 100000 --consumers 100000 --histories 100 --rounds 1
BENCHMARKS := decision serving ingest freshness swap memory batch scale features faults retrain redemptions \
  new_items unseen

bench: setup  ## run the benchmarks; renews the tables of docs/benchmarks.md
	@mkdir -p var/benchmarks
	@$(foreach name,$(BENCHMARKS),echo "== $(name)" && $(BIN)/python -m benchmarks.$(name) $(LESS_$(name)) --json var/benchmarks/$(name).json &&) true
	@$(BIN)/python -m benchmarks.page

notebooks: $(VENV)/.installed-dev  ## open the notebooks
	$(BIN)/python -m pip install --quiet -r requirements-notebooks.lock
	$(BIN)/jupyter lab notebooks

screenshots: $(VENV)/.installed-dev  ## visit the demo's shops with Chromium; pictures go to docs/images/
	$(BIN)/python -m examples.shops.screenshots

COMPILE := $(BIN)/uv pip compile --quiet --no-emit-index-url --universal --python-version 3.11 --no-annotate --no-header

lock: $(VENV)/.installed-dev  ## write the lock files anew
	$(BIN)/python -m pip install --quiet uv
	$(COMPILE) --upgrade pyproject.toml -o requirements.lock
	$(COMPILE) pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock
	$(COMPILE) pyproject.toml --group dev --group notebooks -c requirements-dev.lock -o requirements-notebooks.lock

clean:  ## remove .venv and everything the project made under var/
	rm -rf $(VENV) var
