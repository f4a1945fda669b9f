"""Examples in docstrings run as written."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = (
    "auxface.texture",
    "auxface.encoders",
    "auxface.data.augment",
    "auxface.data.corruptions",
    "auxface.data.synthetic",
)
MODULES = [
    "auxface.plugins",
    "auxface.doctor",
    "auxface.data.random",
    "auxface.data.images.decode",
    "auxface.training.training_summary",
    "auxface.training.sampling",
    "auxface.training.optimizer",
    *PACKAGES,
    *(
        module.name
        for package in PACKAGES
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__, f"{package}.")
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
