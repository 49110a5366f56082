# seqloom: `make help` lists what there is.
#
# What a user types (TASK, SET, TEXT, ...) never becomes part of a shell command: it is
# handed over in the environment, as it was typed, with its quotes, spaces and dollars.
# Only ARGS, for developers, is a piece of command line.

.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
SEQLOOM := $(BIN)/seqloom

GIVEN := TASK CONFIG CONFIGS SET RUN RESUME TEXT IMAGE FILE JSON PORT REPLICAS FORMAT
GIVEN += BEAM NBEST LENGTH_PENALTY MAX_LENGTH ATTENTION SAMPLE TEMPERATURE TOPK TOPP SEED
unexport $(GIVEN) ARGS
$(foreach name,$(GIVEN),$(eval export given_$(name) = $$(value $(name))))
export PYTHON

# The options of the `seqloom` command that the given variables stand for.
config := $${given_CONFIG:+--config "$$given_CONFIG"}
set := $${given_SET:+--settings "$$given_SET"}
run := $${given_RUN:+--run "$$given_RUN"}
json := $${given_JSON:+--json}
task := $${given_TASK:+"$$given_TASK"}
search := $${given_BEAM:+--beam="$$given_BEAM"} $${given_NBEST:+--n-best="$$given_NBEST"} \
    $${given_LENGTH_PENALTY:+--length-penalty="$$given_LENGTH_PENALTY"} \
    $${given_MAX_LENGTH:+--max-length="$$given_MAX_LENGTH"} \
    $${given_ATTENTION:+--attention="$$given_ATTENTION"}
sampling := $${given_SAMPLE:+--sample} $${given_SEED:+--seed="$$given_SEED"} \
    $${given_TEMPERATURE:+--temperature="$$given_TEMPERATURE"} \
    $${given_TOPK:+--top-k="$$given_TOPK"} $${given_TOPP:+--top-p="$$given_TOPP"}

.PHONY: help
help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } \
	    /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo 'Examples:'
	@echo '  make train TASK=ner SET="training.epochs=3 model.cell=gru"'
	@echo '  make predict TASK=ner TEXT="Rhea met Ada in Paris."'

##@ Work with models: TASK=ner, pos, sentiment, translation or captioning, CONFIG=a variant or a .yaml file

.PHONY: train evaluate predict export data check compare ui sync
train: needs-task runtime ## Train, evaluate and export (TASK CONFIG SET RESUME=run)
	@$(SEQLOOM) train "$$given_TASK" $(config) $(set) \
	    $${given_RESUME:+--resume "$$given_RESUME"}

evaluate: runtime ## Evaluate a run again (RUN, or TASK CONFIG: the newest)
	@$(SEQLOOM) evaluate $(task) $(run) $(config)

# Of translations and captions: BEAM NBEST LENGTH_PENALTY MAX_LENGTH ATTENTION=out.png; or SAMPLE=1
# with NBEST TEMPERATURE TOPK TOPP SEED.
predict: runtime ## Predict for TEXT="...", IMAGE=path or FILE=path (JSON=1; RUN, or TASK CONFIG; BEAM, NBEST ...)
	@$(SEQLOOM) predict $(task) $(run) $(config) $(json) $(search) $(sampling) \
	    $${given_TEXT:+--text="$$given_TEXT"} $${given_IMAGE:+--image="$$given_IMAGE"} \
	    $${given_FILE:+--file="$$given_FILE"}

export: runtime ## Export a run again and verify it (RUN, or TASK CONFIG; FORMAT=ctranslate2)
	@$(SEQLOOM) export $(task) $(run) $(config) \
	    $${given_FORMAT:+--format "$$given_FORMAT"}

data: needs-task runtime ## Fetch the data and show it (TASK CONFIG SET JSON=1)
	@$(SEQLOOM) data "$$given_TASK" $(config) $(set) $(json)

check: needs-task runtime ## Learn a synthetic twin of TASK on one and two replicas (REPLICAS)
	@for replicas in $${given_REPLICAS:-1 2}; do \
	    $(SEQLOOM) check "$$given_TASK" --replicas "$$replicas" || exit; done

compare: needs-task runtime ## Compare the runs of TASK, or train CONFIGS="a b" and compare them (SET)
	@$(SEQLOOM) compare "$$given_TASK" $(set) \
	    $${given_CONFIGS:+--configs "$$given_CONFIGS"}

ui: runtime ## Show the tracked runs in a browser (PORT)
	@$(SEQLOOM) ui $${given_PORT:+--port "$$given_PORT"}

sync: runtime ## Send what a tracking server that was down has missed (RUN)
	@$(SEQLOOM) sync $${given_RUN:+"$$given_RUN"}

##@ Work on seqloom

.PHONY: setup runtime dev test lint types bench bare lock needs-task needs-run
setup: dev ## Make .venv with everything, the GPU libraries if there is a GPU (PYTHON)

runtime: # what training needs
	@.ci/environment runtime

dev: # and the tools
	@.ci/environment dev

# File by file as they are listed: those of few tests are the longest, not to come last.
test: dev ## Run the tests (ARGS="-k crf")
	@$(BIN)/python -m pytest -q --numprocesses=2 --dist=loadfile --no-loadscope-reorder \
	    tests $(value ARGS)

lint: dev ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

# mypy does not see through the editable install: show it the folders as a namespace.
types: dev ## Check types
	@mkdir -p build/typing/seqloom
	@for folder in layers tasks pipelines configs; do \
	    ln -sfn ../../../$$folder build/typing/seqloom/$$folder; done
	@MYPYPATH=build/typing $(BIN)/mypy -p seqloom

bench: dev ## Measure speed against bare Keras and spaCy (ARGS="serving")
	@$(BIN)/python -c 'import spacy' 2>/dev/null || { \
	    echo 'Installing spaCy into .venv, to measure against ...' >&2; \
	    $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	        --constraint requirements.lock --editable '.[bench]' || \
	    echo 'spaCy cannot be installed: measuring without it.' >&2; }
	@$(BIN)/python benchmarks/bench.py $(value ARGS)

# Its own environment shows that a run's MLflow model needs nothing of seqloom.
bare: needs-run dev .venv-bare/ready ## Load RUN's MLflow model with only tensorflow, -text and mlflow
	@.venv-bare/bin/python benchmarks/bare_environment.py "$$given_RUN"

.venv-bare/ready: requirements.lock
	@echo 'Installing tensorflow, tensorflow-text and mlflow into .venv-bare ...' >&2
	@$(BIN)/python -m venv --clear .venv-bare
	@.venv-bare/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint requirements.lock tensorflow tensorflow-text mlflow
	@touch $@

lock: dev # write requirements.lock from what is installed
	@sed '/^[^#]/d' requirements.lock > build/requirements.lock
	@$(BIN)/python -m pip freeze --all --exclude-editable \
	    --disable-pip-version-check | grep -v '^-e\|^#\|^pip==' >> build/requirements.lock
	@mv build/requirements.lock requirements.lock

needs-task:
	@test -n "$$given_TASK" || { \
	    echo 'error: which task? Say TASK=ner, pos, sentiment, translation or captioning.' >&2; exit 2; }

needs-run:
	@test -n "$$given_RUN" || { \
	    echo 'error: which run? Say RUN=runs/ner/latest.' >&2; exit 2; }
