import pytest

from auxface.errors import InputError
from auxface.recipe import load_recipe
from auxface.training.machine import make_accelerator


@pytest.mark.parametrize("kind", ["FSDP", "DEEPSPEED", "MEGATRON_LM"])
def test_sharded_weights_are_refused(monkeypatch, kind):
    monkeypatch.setenv(f"ACCELERATE_USE_{kind}", "true")
    with pytest.raises(InputError, match=f"{kind}.*MULTI_GPU"):
        make_accelerator(load_recipe("l_ssat"), "cpu")
