"""The examples in the docstrings of auxface.evaluation run and give what they show."""

import doctest
import importlib
import pkgutil

import pytest

import auxface.evaluation

# The example of `audit` reads a table that the example of `evaluate` writes: tests/test_public_api.py runs both.
MODULES = ["auxface.evaluation"] + [
    module.name
    for module in pkgutil.walk_packages(auxface.evaluation.__path__, "auxface.evaluation.")
    if module.name != "auxface.evaluation.audit"
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", ["metric_by_group", "audit_tables", "metrics.metric", "clusters", "thresholds"])
def test_public_modules_have_examples(name):
    assert doctest.testmod(importlib.import_module(f"auxface.evaluation.{name}")).attempted > 0
