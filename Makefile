# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO = results/demo
TESTS ?=

.PHONY: demo test test-lowest reference tables docs lint clean

demo: $(VENV)/.installed-demo
	$(BIN)/bench run --config docs/demo.yaml --results $(DEMO)
	$(BIN)/bench table summary --results $(DEMO)
	$(BIN)/bench plot gallery --results $(DEMO) --categories washer --count 12 --out $(DEMO)/pictures
	$(BIN)/bench report --results $(DEMO)
	@echo "Look at the washers in $(DEMO)/pictures, hardest first: a defect is found where the map is bright inside the green outline."

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

# The same with the lowest versions that pyproject.toml allows, in an environment of its own
test-lowest:
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet uv
	$(VENV)-lowest/bin/uv pip compile --quiet --python $(VENV)-lowest/bin/python --resolution lowest-direct \
		--extra test --extra demo pyproject.toml --output-file $(VENV)-lowest/requirements.txt
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python \
		--requirement $(VENV)-lowest/requirements.txt
	$(VENV)-lowest/bin/uv pip install --quiet --python $(VENV)-lowest/bin/python --no-deps --editable .
	$(VENV)-lowest/bin/python -m pytest -q -n 2 --dist loadfile $(TESTS)

lint: $(VENV)/.installed-test $(VENV)/.installed-docs
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# Our own committed records on real images: make reference DATA=~/data WEIGHTS=~/weights
reference: $(VENV)/.installed
	BENCH=$(abspath $(BIN))/bench DATA=$(DATA) WEIGHTS=$(WEIGHTS) IMAGES=$(IMAGES) bash results/reference/make.sh

# The papers' tables in docs/tables, from these records
tables: $(VENV)/.installed
	$(BIN)/python docs/tables/gallery.py
	$(BIN)/python docs/scale.py
	$(BIN)/python docs/learned.py

# Pages of the Python interface, in site/; a warning is an error
docs: $(VENV)/.installed-docs
	$(BIN)/python docs/api.py site

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable . --constraint constraints.txt
	touch $@

$(VENV)/.installed-demo: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[demo]" --constraint constraints.txt
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[test,demo]" --constraint constraints.txt
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable ".[docs]" --constraint constraints.txt
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-lowest $(DEMO) site build *.egg-info
