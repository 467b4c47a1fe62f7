.DEFAULT_GOAL := help
PYTHON ?= python

.PHONY: help install check lint types test torture format bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r target what; do \
		printf '  %-10s %s\n' "$$target" "$$what"; done

install:  ## install dlrun with everything that its tests need, editable
	$(PYTHON) -m pip install -e '.[dev]'

check: lint types test  ## all that CI checks

lint:  ## ruff: lint and format
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:  ## mypy, strict
	$(PYTHON) -m mypy

test:  ## pytest
	$(PYTHON) -m pytest

torture:  ## kill a training at 25 random moments and continue it, for each data path and signal
	DLRUN_KILLS=25 $(PYTHON) -m pytest tests/test_resume.py -k killed

format:  ## let ruff mend and format the code
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

bench:  ## the claims about speed, each against a peer (needs DLRUN_DATA, and: pip install -e '.[bench]')
	$(PYTHON) -m benchmarks.train_mnist

clean:  ## remove caches and build files; runs and data stay
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
