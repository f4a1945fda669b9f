# make install   an environment in .venv with auxface in it
# make demo      synthetic faces, three models, one page: runs/demo/report.html
# make wheel     dist/auxface-*.whl
# make docs      the guides and the reference as a web site: site/index.html
# make test      the tests, in one process of one thread per core: torch is slow where its threads wait for a core

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
UV := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt

.PHONY: install demo test lint wheel docs clean

install: $(VENV)/.installed

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "auxface needs Python 3.11 or newer; none was found (set PYTHON=...)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml constraints.txt
	$(UV) --editable '.[video,serve]'
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(UV) --editable '.[dev]'
	# Its losses are compared with ours in tests. Its dependencies, PyTorch Lightning among them, are not needed for that.
	$(UV) --no-deps lightly==1.6.0 lightly-utils==0.0.2
	@touch $@

demo: install
	$(BIN)/auxface demo --overwrite

test: $(VENV)/.developed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

wheel: $(VENV)/.installed
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

docs: $(VENV)/.installed
	$(UV) --editable '.[docs]'
	rm -rf docs/api/generated
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going --conf-dir docs/site . site

lint: $(VENV)/.developed
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright

clean:
	rm -rf $(VENV) runs site docs/api/generated
