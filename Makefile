.DEFAULT_GOAL := help
PYTHON ?= python

.PHONY: help install check lint types test embedded slow quick boundaries torture format bench margins experiments clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r target what; do \
		printf '  %-12s %s\n' "$$target" "$$what"; done

install:  ## install dlrun with everything that its tests need, editable
	$(PYTHON) -m pip install -e '.[dev]'

check:  ## lint, types and all tests but those of embedded and slow, at the same time
	@$(MAKE) -j3 lint types test

lint:  ## ruff: lint and format
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:  ## mypy, strict
	$(PYTHON) -m mypy

test:  ## pytest, in as many processes as there are cores
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist worksteal

embedded:  ## pytest: all experiments that need no data from outside, and all lessons, meet their claims
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist worksteal -m embedded

slow:  ## pytest: all that takes half a minute or more, such as what is killed or has a failing disk and goes on
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto -m slow

quick:  ## what finds most breakage in a minute: lint, types, the shape of the code, every boundary of a training
	@$(MAKE) -j3 lint types boundaries

boundaries:
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto tests/test_structure.py tests/test_configs.py tests/training tests/record tests/dataset/test_loader.py

torture:  ## kill a training at 25 random moments and continue it; let every write fail; start two of each writer; mistype; fuzz
	DLRUN_KILLS=25 $(PYTHON) -m pytest -m slow tests/test_resume.py -k "killed_run or killed_sweep"
	$(PYTHON) -m tests.resume_table
	$(PYTHON) -m tests.world_table
	$(PYTHON) -m tests.disk_table
	$(PYTHON) -m tests.neighbours
	$(PYTHON) -m tests.mutations
	DLRUN_EXAMPLES=3000 $(PYTHON) -m pytest tests/test_fuzz.py

format:  ## let ruff fix and format the code
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

bench:  ## the claims about speed, each against a peer (needs DLRUN_DATA, and: pip install 'dlrun[bench]')
	$(PYTHON) -m benchmarks.train_mnist
	$(PYTHON) -m benchmarks.train_pixels
	$(PYTHON) -m benchmarks.checkpoint_cost
	$(PYTHON) -m benchmarks.data_parallel
	$(PYTHON) -m benchmarks.sweep_parallel
	$(PYTHON) -m benchmarks.finetune_resnet50
	$(PYTHON) -m benchmarks.attack_pgd
	$(PYTHON) -m benchmarks.grad_cam

margins:  ## try the claims of the embedded experiments on five seeds and 1, 2 and 4 threads
	$(PYTHON) -m benchmarks.margins

experiments:  ## run all experiments (needs DLRUN_DATA); the report goes to docs/experiments
	$(PYTHON) -m dlrun reproduce all=true report=docs/experiments

clean:  ## remove caches and build files; runs and data stay
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
