# Two commands do everything on a fresh machine with Python 3.11 or later:  make train   make test
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: train test test-all bench lint clean

train: $(VENV)/.ready
	$(RUN) -m agents.train Tokens/Addition-v0

test: $(VENV)/.ready
	# two processes of one thread each, since CI has two cores
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile

test-all: $(VENV)/.ready
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile -m ""

bench: $(VENV)/.ready
	$(RUN) benchmarks/run.py
	$(RUN) benchmarks/threads.py
	$(RUN) benchmarks/threads.py --training
	$(RUN) benchmarks/training.py
	$(RUN) benchmarks/text_games.py

lint: $(VENV)/.ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or later is needed"'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt 'torch==2.13.0'
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[train,test,cuda,lint]'
	touch $@

clean:
	rm -rf $(VENV) runs build dist *.egg-info
