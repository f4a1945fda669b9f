"""Measure the speed of the joint step against a step built from the transformers library.

    python benchmarks/step.py [--setting tiny16|tiny8|small8|base16] [--profile] [--ratios] [--measuring]

The peer is a joint step made of public parts: transformers' ViTMAE for the masked pass and its ViT for the full pass,
with shared weights, the same sizes, AdamW, and the same data on the device. Both take steps alternately, so that other
load slows both. The result is the ratio of their median times, each at its faster precision. ``--ratios`` compares the
joint step with a supervised one. ``--profile`` measures the parts of a step. ``--measuring`` measures how much training
time the gradient ratios take: steps with and without the measurement alternate on one model.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count, repeat

import torch
import torch.nn.functional as F
from torch import nn

from auxface.data.augment.presets import make_views
from auxface.model import JointModel
from auxface.model.balance import MEASURED_EVERY
from auxface.objectives import Batch, LearnedTask, TrainProgress
from auxface.recipe import Encoder, Recipe, ReconstructionOptions, Target, Train
from auxface.training.optimizer import make_optimizer
from auxface.training.performance import configure_blocks
from auxface.training.train_step import set_learning_rate


@dataclass(frozen=True)
class Setting:
    """Sizes of encoder and batch."""

    name: str
    width: int
    heads: int
    side: int
    patch: int
    batch: int


SETTINGS = {
    "tiny16": Setting("vit_tiny_patch16_224", 192, 3, 224, 16, 16),
    "tiny8": Setting("vit_tiny_patch16_224", 192, 3, 64, 8, 64),
    "small8": Setting("vit_tiny_patch16_224", 96, 3, 64, 8, 64),
    "base16": Setting("vit_base_patch16_224", 768, 12, 224, 16, 8),
}
RGB, LDP = Target(), Target(name="local_directional_pattern", encoding="bits")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Step = Callable[[], object]


class Peer(nn.Module):
    """ViTMAE and ViT of transformers with shared weights."""

    def __init__(self, setting: Setting) -> None:
        from transformers import ViTConfig, ViTMAEConfig, ViTMAEForPreTraining, ViTModel

        super().__init__()
        shared = {
            "hidden_size": setting.width,
            "num_hidden_layers": 12,
            "num_attention_heads": setting.heads,
            "intermediate_size": 4 * setting.width,
            "image_size": setting.side,
            "patch_size": setting.patch,
        }
        decoder = {
            "decoder_hidden_size": 128,
            "decoder_num_hidden_layers": 2,
            "decoder_num_attention_heads": 16,
            "decoder_intermediate_size": 512,
        }
        self.masked = ViTMAEForPreTraining(ViTMAEConfig(**shared, **decoder))
        self.whole = ViTModel(ViTConfig(**shared), add_pooling_layer=False)
        inner = self.masked.vit
        self.whole.layers, self.whole.layernorm = inner.layers, inner.layernorm
        self.whole.embeddings.patch_embeddings.projection = inner.embeddings.patch_embeddings.projection
        self.whole.embeddings.cls_token = inner.embeddings.cls_token
        self.whole.embeddings.position_embeddings = inner.embeddings.position_embeddings
        self.head = nn.Linear(setting.width, 2)

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = self.head(self.whole(images).last_hidden_state[:, 0])
        return 0.1 * F.cross_entropy(logits.float(), labels) + 0.9 * self.masked(images).loss


def data(setting: Setting) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (setting.batch, 3, setting.side, setting.side), generator=generator)
    return images.to(torch.uint8).to(DEVICE), torch.randint(0, 2, (setting.batch,), generator=generator).to(DEVICE)


def autocast(bf16: bool) -> torch.autocast:
    return torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16)


def peer_step(setting: Setting, bf16: bool) -> Step:
    model = Peer(setting).to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    pixels, labels = data(setting)
    images = pixels.float() / 255

    def step() -> None:
        with autocast(bf16):
            loss = model(images, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def our_model(
    setting: Setting, bf16: bool, weight: float, target: Target, predict: str = "masked", **train: object
) -> JointModel:
    auxiliary = ReconstructionOptions(target=(target,), predict=predict) if weight < 1 else None  # pyright: ignore[reportArgumentType]
    encoder = Encoder(name=setting.name, image_size=setting.side, patch_size=setting.patch, width=setting.width)
    recipe = Recipe(primary_weight=weight, auxiliary=auxiliary, encoder=encoder, train=Train(**train))  # pyright: ignore[reportArgumentType]
    model = JointModel(recipe, [LearnedTask("label", "class", ("a", "b"))]).to(DEVICE)
    configure_blocks(model, recipe.train, DEVICE, "bf16" if bf16 else "no")
    return model


def our_step(setting: Setting, bf16: bool, weight: float = 0.1, target: Target = RGB, **train: object) -> Step:
    model = our_model(setting, bf16, weight, target, **train)
    optimizer = make_optimizer(model, model.recipe.train)
    set_learning_rate(optimizer, 1e-4)
    return joint_step(model, optimizer, setting, bf16)


def joint_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, setting: Setting, bf16: bool, numbers: Iterable[int] = ()
) -> Step:
    """Return a step of a model, which may be wrapped for several processes, on pixels that are on the device."""
    pixels, labels = data(setting)
    seeds = torch.arange(setting.batch, device=DEVICE)
    batch = Batch(primary=pixels.float() / 255, clean=pixels, labels={"label": labels}, seeds=seeds)
    # The first steps and every 25th measure gradients; the median is that of the others.
    numbered = iter(numbers or count())

    def step() -> None:
        with autocast(bf16):
            loss = model(batch, TrainProgress(next(numbered), 1000)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def seconds(step: Step) -> float:
    """Return the wall time of a step on a GPU, or its CPU time over all threads, since other programs share the CPU."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
        begun = time.perf_counter()
        step()
        torch.cuda.synchronize()
        return time.perf_counter() - begun
    begun = time.process_time()
    step()
    return time.process_time() - begun


def alternate(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Return the median seconds of each step; the steps alternate."""
    for step in steps.values():
        step()
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            taken[name].append(seconds(step))
    return {name: statistics.median(each) for name, each in taken.items()}


def against_peer(setting: Setting, rounds: int) -> None:
    steps: dict[str, Step] = {}
    for word, bf16 in (("fp32", False), ("bf16", True)):
        steps |= {f"peer {word}": peer_step(setting, bf16), f"ours {word}": our_step(setting, bf16)}
    steps["ours bf16, fused attention"] = our_step(setting, True, attention="fused")
    steps["ours bf16, LDP as bits"] = our_step(setting, True, target=LDP)
    found = alternate(steps, rounds)
    print("| step | ms | images per second of that time |\n|---|---|---|")
    for name, each in found.items():
        print(f"| {name} | {1000 * each:.0f} | {setting.batch / each:.1f} |")
    best = {who: min(value for name, value in found.items() if name.startswith(who)) for who in ("peer", "ours")}
    print(f"ratio, each at its faster precision: {best['peer'] / best['ours']:.2f}")


def against_supervised(setting: Setting, rounds: int) -> None:
    for word, bf16 in (("fp32", False), ("bf16", True)):
        steps = {"supervised": our_step(setting, bf16, 1.0)}
        steps |= {predict: our_step(setting, bf16, target=LDP, predict=predict) for predict in ("masked", "all")}
        found = alternate(steps, rounds)
        shares = {name: found[name] / found["supervised"] for name in ("masked", "all")}
        print(
            f"joint step (LDP) against supervised step, {word}: {shares['masked']:.2f} where masked patches alone are "
            f"predicted, {shares['all']:.2f} as published; the supervised one takes {1000 * found['supervised']:.0f} ms"
        )


def cost_of_measuring(setting: Setting, rounds: int) -> None:
    for word, bf16 in (("fp32", False), ("bf16", True)):
        model = our_model(setting, bf16, 0.1, LDP)
        optimizer = make_optimizer(model, model.recipe.train)
        set_learning_rate(optimizer, 1e-4)
        numbers = {"measured": MEASURED_EVERY, "not measured": MEASURED_EVERY + 1}
        found = alternate(
            {name: measured_step(model, optimizer, setting, bf16, number) for name, number in numbers.items()}, rounds
        )
        more = found["measured"] / found["not measured"] - 1
        print(
            f"{word}: a step that measures gradients takes {more:.0%} longer than {1000 * found['not measured']:.0f} "
            f"ms, which is {more / MEASURED_EVERY:.1%} of training time, since one step in {MEASURED_EVERY} is measured"
        )


def measured_step(
    model: JointModel, optimizer: torch.optim.Optimizer, setting: Setting, bf16: bool, number: int
) -> Step:
    """Return a joint step that always has the same number, and so either always measures gradients or never does."""
    take, progress = joint_step(model, optimizer, setting, bf16, repeat(number)), TrainProgress(number, 1000)

    def step() -> None:
        take()
        model.after_step(progress)

    return step


def profile(setting: Setting, bf16: bool, rounds: int) -> None:
    """Print the time of forward and backward of each part, and of the optimizer."""
    model = our_model(setting, bf16, 0.1, LDP)
    optimizer = make_optimizer(model, model.recipe.train)
    pixels, labels = data(setting)
    images, seeds = pixels.float() / 255, torch.arange(setting.batch, device=DEVICE)
    encoder, reconstruction = model.encoder, model.auxiliaries["reconstruction"]
    batch = Batch(primary=images, clean=pixels, labels={"label": labels}, seeds=seeds)
    mask = reconstruction.mask(encoder, batch)
    with torch.no_grad(), autocast(bf16):
        embedded, seen = encoder.embed(images), encoder(images, mask)

    def learned(forward: Callable[[], torch.Tensor]) -> Step:
        def step() -> None:
            with autocast(bf16):
                result = forward()
            result.float().sum().backward()

        return step

    def decode() -> torch.Tensor:
        return torch.stack([value.sum() for value in reconstruction.decoder(seen, mask, mask.hidden).values()])

    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    steps = {
        "data: views (light)": lambda: make_views(pixels, seeds, "light", size=setting.side),
        "patch embedding": learned(lambda: encoder.embed(images)),
        "full pass": learned(lambda: encoder.encode(embedded).pooled),
        "masked pass": learned(lambda: encoder.encode(embedded, mask).tokens),
        "decoder": learned(decode),
        "texture target (LDP, bits)": lambda: reconstruction.targets[0].compute(pixels, encoder.mean, encoder.std),
        "optimizer": optimizer.step,
    }
    found = alternate(steps, rounds)
    total = sum(found.values())
    print("| part | ms | share |\n|---|---|---|")
    for name, each in found.items():
        print(f"| {name} | {1000 * each:.1f} | {each / total:.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", choices=SETTINGS, action="append")
    parser.add_argument("--batch", type=int, help="images per step, in place of the setting's")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--ratios", action="store_true")
    parser.add_argument("--measuring", action="store_true")
    options = parser.parse_args()
    where = torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{platform.machine()}, {where}, torch {torch.__version__}")
    for name in options.setting or ("tiny16", "tiny8"):
        setting = replace(SETTINGS[name], batch=options.batch or SETTINGS[name].batch)
        print(f"\n{name}: {setting.name}, patch {setting.patch}, side {setting.side}, batch {setting.batch}")
        if options.profile:
            profile(setting, True, options.rounds)
        elif options.ratios:
            against_supervised(setting, options.rounds)
        elif options.measuring:
            cost_of_measuring(setting, options.rounds)
        else:
            against_peer(setting, options.rounds)


if __name__ == "__main__":
    main()
