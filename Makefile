# make demo: a forecast from small Llamas, then the larger one that confirms it (or not).
# make test: the fast tests; make test TESTS=all: the slow ones too, in one session.
# Both make .venv and install pinned versions first; only Python >= 3.11 is needed.
# Another Python: make demo PYTHON=/usr/bin/python3.12

VENV := .venv
BIN := $(VENV)/bin
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3 python)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt

.PHONY: demo test slow soak lint docs clean

demo: $(VENV)/installed
	$(BIN)/scaling run sweeps/quickstart.yaml

# Files go to the workers longest first (tests/support/ordering.py); who has finished takes tests from the others.
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
JOBS := 2
TESTS := fast
EXTRAS := corpora,curate,dev,excel,hf,notebooks,parity,ray,slurm,tensorboard,test,tokenizers,tpu,wandb,web

ifeq ($(TESTS),all)
test: $(VENV)/installed-all
	$(PYTEST) --durations=10
else
test: $(VENV)/installed-test
	$(PYTEST) -m "not slow"
endif

# The long tests, the comparison with transformers, the TPU's compiler, and the executors.
slow: $(VENV)/installed-all
	$(PYTEST) -m slow

# The tests with random moments, with many more of them: an hour or two.
soak: $(VENV)/installed-all
	SCALING_SOAK=yes $(PYTEST) -m soak

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -W -q -b html docs build/docs

clean:
	rm -rf $(VENV)

$(VENV)/created:
	@for python in $(CANDIDATES); do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making $(VENV) with $$("$$python" -V)"; "$$python" -m venv $(VENV) && touch $@; exit; \
	  fi; \
	done; \
	echo "error: none of '$(CANDIDATES)' is a Python >= 3.11 with venv (on Debian: python3-venv);" \
	  "name one: make PYTHON=/path/to/python3.12" >&2; exit 2

$(VENV)/installed: $(VENV)/created pyproject.toml constraints.txt
	@echo "Installing pinned packages into $(VENV); a minute or two, once"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/installed-test: $(VENV)/created pyproject.toml constraints.txt
	@echo "Installing pinned packages into $(VENV); a minute or two, once"
	@$(INSTALL) -e ".[curate,hf,notebooks,test,tokenizers,web]"
	@touch $@ $(VENV)/installed

$(VENV)/installed-all: $(VENV)/created pyproject.toml constraints.txt
	@echo "Installing pinned packages into $(VENV); a few minutes, once"
	@$(INSTALL) -e ".[$(EXTRAS)]"
	@touch $@ $(VENV)/installed $(VENV)/installed-test $(VENV)/installed-dev

$(VENV)/installed-%: $(VENV)/installed-test
	@echo "Installing the packages of '$*' into $(VENV)"
	@$(INSTALL) -e ".[$*]"
	@touch $@
