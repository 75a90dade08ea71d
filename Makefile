# The two commands of the README are `make run` and `make test`; both set up what they need.
# Nothing is written outside of this checkout but the demo's data folder, which it names.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN_READY := $(VENV)/.ready-run
TEST_READY := $(VENV)/.ready-test
PORT := 8888
DATA := demo-data
SETUP := setup.py pyproject.toml bzz/version.py

.DEFAULT_GOAL := help
.PHONY: help run test check format coverage docs links screenshots bench soak clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(RUN_READY) ## serve the demo on an embedded database: make run PORT=8888 DATA=demo-data
	@exec $(BIN)/python -m bzz.demo --port "$(PORT)" --data "$(DATA)"

test: check coverage ## lint, types, all tests, coverage, the examples of the docs

check: $(TEST_READY) ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(TEST_READY) ## put the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

coverage: $(TEST_READY) ## all tests, and what they cover
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -n 3 --dist loadfile -m "not soak"
	@$(BIN)/coverage combine -q
	$(BIN)/coverage report

docs: $(TEST_READY) ## build the documentation into docs/_build; ONLINE=1 links to other projects
	$(BIN)/python -m sphinx -W -n --keep-going -q -E $(if $(ONLINE),-t online) docs docs/_build

links: $(TEST_READY) ## try all links of the documentation that lead elsewhere
	$(BIN)/python -m sphinx -W --keep-going -q -E -b linkcheck docs docs/_build/links

screenshots: $(TEST_READY) ## take the pictures of the pages in docs/images, with Debian's chromium
	$(BIN)/python -m tools.screenshots docs/images

bench: $(TEST_READY) ## run the benchmarks
	@for each in benchmarks/diff.py benchmarks/history.py benchmarks/rest.py benchmarks/live.py; do echo "== $$each"; $(BIN)/python $$each || exit 1; done

soak: $(TEST_READY) ## the long forms of the load and fault tests
	$(BIN)/python -m pytest -m soak

clean: ## remove the virtual environment and all that was built
	rm -rf $(VENV) docs/_build .coverage .coverage.* .hypothesis *.egg-info build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache

$(RUN_READY): $(SETUP)
	@echo "Setting up in $(VENV), once ..."
	@$(call make_venv)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[embedded]"
	@touch $@

$(TEST_READY): $(SETUP)
	@$(call make_venv)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@

define make_venv
command -v $(PYTHON) >/dev/null || { echo "bzz needs Python 3.11 or newer; install it, or name one: make PYTHON=/path/to/python" >&2; exit 1; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "bzz needs Python 3.11 or newer; $(PYTHON) is older. Name another: make PYTHON=/path/to/python" >&2; exit 1; }; \
test -x $(BIN)/python && $(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); } || { echo "Python cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }
endef
