# mmkd: what there is to do. `make help` lists it.
#
# The environment lives in a cache folder of the user and is shared by all
# clones with the same pins; see tools/setup/env.py.

SHELL := /bin/sh
.DEFAULT_GOAL := help

# The Python that the environment is made with (3.11); the first that fits.
PYTHON ?=
FIND_PYTHON = sh tools/setup/find_python.sh '$(PYTHON)'
# The environment's interpreter. Prepares the environment when it is missing.
ENV_PYTHON = base=$$($(FIND_PYTHON)) || exit 1; \
	python=$$("$$base" tools/setup/env.py python) || exit 1;

# Every clone sees its own code.
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))

ARGS ?=
QUICK ?=
OLD ?=

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1 \2/p' Makefile | \
	while read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done
	@echo
	@echo '  PYTHON=...     the Python 3.11 to start from'
	@echo '  ARGS="..."     more arguments for pytest, the demo or trust'
	@echo '  MMKD_CACHE=... where the environment lives (default: the cache'
	@echo '                 folder of the user)'

.PHONY: env
env: ## prepare the environment
	@$(ENV_PYTHON) echo "$$python"

.PHONY: python
python: ## print the interpreter of the environment: $(make -s python) -m mmkd train ...
	@$(ENV_PYTHON) echo "$$python"

.PHONY: test
test: ## the tests, in two processes; with ARGS one pytest that gets them
	@$(ENV_PYTHON) set -x; $(if $(ARGS),"$$python" -m pytest $(ARGS),sh tools/setup/run_tests.sh "$$python")

.PHONY: trust
trust: ## test every promise of docs/reliability.md, for hours; QUICK=1 for a few minutes
	@$(ENV_PYTHON) set -x; "$$python" acceptance/run.py $(if $(QUICK),--short) $(ARGS)

.PHONY: gpu-check
gpu-check: ## every method, and the tests that need a GPU, on a GPU; one page
	@$(ENV_PYTHON) "$$python" -W ignore acceptance/gpu_check.py $(ARGS)

.PHONY: gpu-bench
gpu-bench: ## time of a distilled step on a GPU, for five pairs
	@$(ENV_PYTHON) "$$python" -W ignore benchmarks/step_time.py --gpu $(ARGS)

.PHONY: demo
demo: ## teacher, student alone and distilled student on the driving scenes; QUICK=1 for a short one
	@$(ENV_PYTHON) set -x; "$$python" -m mmkd demo $(if $(QUICK),--quick) $(ARGS)

.PHONY: lint
lint: ## check the style of the code
	@$(ENV_PYTHON) sh tools/setup/style.sh "$$python" check

.PHONY: format
format: ## bring the code into the house style
	@$(ENV_PYTHON) sh tools/setup/style.sh "$$python" format

.PHONY: all-checks
all-checks: lint test ## lint and test

.PHONY: lock
lock: ## write lock.txt anew after a change of constraints.txt
	@base=$$($(FIND_PYTHON)) || exit 1; "$$base" tools/setup/lock.py

.PHONY: pages
pages: ## write the pages that are made of the code and of the results of the benchmarks
	@$(ENV_PYTHON) "$$python" -W ignore benchmarks/pages.py && "$$python" -W ignore tools/docs/command_page.py

.PHONY: docs
docs: pages ## build the documentation into site/; warnings and broken links are errors
	@base=$$($(FIND_PYTHON)) || exit 1; sh tools/docs/build.sh "$$base"

.PHONY: clean-env
clean-env: ## remove the environment; OLD=1: those of other pins instead
	@base=$$($(FIND_PYTHON)) || exit 1; \
	"$$base" tools/setup/env.py clean $(if $(OLD),--old)
