# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO = results/demo

.PHONY: demo test reference tables lint clean

demo: $(VENV)/.installed-demo
	$(BIN)/bench run --config docs/demo.yaml --results $(DEMO)
	$(BIN)/bench table summary --results $(DEMO)
	$(BIN)/bench plot gallery --results $(DEMO) --categories washer --count 12 --out $(DEMO)/pictures
	$(BIN)/bench report --results $(DEMO)
	@echo "Look at the washers in $(DEMO)/pictures, hardest first: a defect is found where the map is bright inside the green outline."

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(VENV)/.installed-test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# Our own committed records on real images: make reference DATA=~/data WEIGHTS=~/weights
reference: $(VENV)/.installed
	BENCH=$(abspath $(BIN))/bench DATA=$(DATA) WEIGHTS=$(WEIGHTS) IMAGES=$(IMAGES) bash results/reference/make.sh

# The papers' tables in docs/tables, from these records
tables: $(VENV)/.installed
	$(BIN)/python docs/tables/gallery.py
	$(BIN)/python docs/scale.py

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

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info
