# Two commands: `make study` runs the default study, `make test` tests everything.

PYTHON ?= python3
CORES ?= all
BIN := .venv/bin

# snakefmt calls shfmt, and dvc calls snakemake, by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help study test check clean

help: ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

study: .venv/installed ## Install into .venv and run the study of params.yaml
	$(BIN)/snakemake --cores $(CORES) --logger rich
	@echo "Open this study's page; its networks are in models/:"
	@$(BIN)/transferability open --list

test: check ## Check the style, then run every test
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

check: .venv/tested ## Check the style of code and workflow, and the types of the package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/hadolint Dockerfile

clean: ## Remove the environment; what runs have made stays
	rm -rf .venv

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[workflow,sharing]'
	touch $@

.venv/tested: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@
