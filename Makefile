# Every command a person needs. `make` alone lists them.
PYTHON := .venv/bin/python
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo -E)
HUB := $(SUDO) $(PYTHON) -m cyberlab_hub

.PHONY: help demo up bases down clean status doctor test lint check pictures bench

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: bootstrap ## everything: from an empty machine to a chart, as the user `student`
	@$(HUB) demo

up: bootstrap ## start the lab (PIS=20 make up: with twenty simulated Pis)
	@$(HUB) up

bases: bootstrap ## build every base image of the catalogue now, instead of on first use
	@$(HUB) bases

down: ## stop exactly what was started; everything is kept
	@$(HUB) down

clean: ## down, and remove images, volumes (also the users' homes) and state
	@$(HUB) clean

status: ## what runs, and where
	@$(HUB) status

doctor: ## hold the running lab against docs/security.md: what is wrong, and how to mend it
	@$(HUB) doctor

test: bootstrap-tests ## all tests on a real lab (starts it first); ends with pytest's closing line
	@$(HUB) up
	@$(SUDO) $(PYTHON) -m pytest --require-engine $(PYTEST_ARGS)

lint: bootstrap ## style and types
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy

check: lint ## style, types and unit tests: what needs no engine
	@$(PYTHON) -m pytest -q tests/unit

pictures: ## take the README's pictures anew (runs the browser tests on the running lab)
	@$(SUDO) $(PYTHON) -m pytest -q --require-engine tests/browser
	@cp artifacts/browser/form.png artifacts/browser/dashboard.png docs/pictures/

bench: bootstrap ## measure the lab against the same work by hand
	@$(SUDO) $(PYTHON) bench/loop.py

.PHONY: bootstrap bootstrap-tests
bootstrap:
	@hub/bootstrap.sh
bootstrap-tests:
	@hub/bootstrap.sh --tests
