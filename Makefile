PYTHON ?= python3
VENV ?= .venv
# JAX compiles the tiny models of the tests ten times faster so.
FAST_COMPILE = --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true
BIN = $(VENV)/bin
PYTEST = $(BIN)/python -m pytest
# TensorFlow's notes about missing GPUs help nobody here.
export TF_CPP_MIN_LOG_LEVEL = 3
DEMO = applications/digits-densenetbc.soft-targets

.PHONY: demo test test-slow test-backends lint bench clean

# The main job on embedded data: trains a teacher, the student alone and the
# distilled student, prints the table, exports a SavedModel.
demo: $(VENV)/installed
	$(BIN)/kzoo train $(DEMO) --out runs/demo

test: $(VENV)/tested
	$(PYTEST) -n 2 --dist worksteal

# What takes minutes: the planted faults, the largest models, kill and resume.
test-slow: $(VENV)/tested
	$(PYTEST) -m slow -n 2 --dist worksteal

# JAX and torch, where TensorFlow is not installed. The battery runs on both; the methods' own tests are left out
# there, and JAX, which compiles every model anew, leaves out what compiles long or concerns no backend.
# `make test-backends TORCH_SELECT= JAX_SELECT=` runs all.
METHODS = test_tree or test_collaborative or test_ensemble_distillation or test_be_your_own or test_adversarial or \
  test_data_free or test_specialist or test_class_wise or test_data_distortion or test_mutual_learning or \
  test_filter_grafting or test_snapshot
OTHERS = test_readme or test_every_loss or test_teachers or test_cache_teacher or test_pretrain or test_battery or \
  test_imports or test_registry or test_recorded_weights
LONG = trainer- and not Distiller and not Mutual and not right_variables and not terms_sum and not save_and_resume
TORCH_SELECT = -k "not ($(METHODS))"
JAX_SELECT = -k "(not application and not together and not whatever_the_losses and not ($(METHODS)) and not ($(OTHERS)) and not ($(LONG))) \
  or classifier or step_moves_every_weight or stage_taps or learns"
BACKENDS = $(VENV)-backends/bin/python -m pytest -q -n 2 --dist worksteal
test-backends: $(VENV)-backends/installed
	KERAS_BACKEND=torch $(BACKENDS) $(TORCH_SELECT)
	KERAS_BACKEND=jax XLA_FLAGS="$(FAST_COMPILE)" $(BACKENDS) $(JAX_SELECT)

lint: $(VENV)/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/installed
	mkdir -p benchmarks/results
	for script in dense_block distiller losses mutual_learning pipeline relational teacher_cache; do \
	  $(BIN)/python benchmarks/$$script.py --out benchmarks/results/$$script.json || exit 1; \
	done

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable .[test,onnx]
	touch $@

$(VENV)-backends/installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)-backends
	$(VENV)-backends/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-backends/bin/python -m pip install --quiet torch==2.13.0
	$(VENV)-backends/bin/python -m pip install --quiet jax keras numpy scikit-learn pydantic \
	  typer rich matplotlib pillow pytest pytest-xdist
	$(VENV)-backends/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-backends runs build *.egg-info
