"""Measure a bare GPU machine within nine minutes; print every result and store all of them as JSON.

    python benchmarks/gpu.py --json gpu.json                                   # Python 3.12, torch 2.11 or newer
    python benchmarks/gpu.py --wheels WHEELS --study studies/texture_targets.yaml --data-root DATA --json gpu.json
    python benchmarks/gpu.py --dry-run                                         # the same parts, small, on the processor

Each part is a process with a time limit of its own; a part that fails or is too slow is recorded, and the next one
starts. The file is written after every part, so nothing is lost if the machine is. The time that is left goes to the
runs of a study, several at a time. ``--wheels`` installs missing packages from a folder, without network.

Parts: ``machine`` (versions, matrix rate, copy bandwidth), ``tests`` (marked gpu), ``step`` (joint step of a
ViT-base/16 against public parts; mark 2.5 times, half of the matrix rate), ``texture`` (fraction of the bandwidth; mark
30%), ``auto`` (its choices against all fixed ones; mark 5%), ``parallel`` (DDP and FSDP with one process), ``study``.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MINUTES = 9.0
# Seconds that each part may take, in the order of their value.
LIMITS = {"machine": 60, "step": 120, "texture": 60, "auto": 60, "tests": 90, "parallel": 90, "study": 540}
RESULT = "result: "
STUDY = """
name: dry_run
about: Do the runs of a study work?
data: [{name: faces, manifest: faces.parquet, task: emotion}]
methods: {supervised: {recipe: supervised}}
settings: {encoder.image_size: 32, encoder.patch_size: 8, encoder.width: 32, encoder.depth: 1, encoder.heads: 2,
  train.epochs: 1, train.batch_size: 16}
seeds: [0]
compare: {baseline: supervised}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path("gpu.json"))
    parser.add_argument("--minutes", type=float, default=MINUTES, help="for everything")
    parser.add_argument("--dry-run", action="store_true", help="small, on the processor")
    parser.add_argument("--parts", nargs="+", choices=LIMITS, default=[*LIMITS])
    parser.add_argument("--wheels", type=Path, help="folder with packages to install")
    parser.add_argument("--study", type=Path, help="study whose runs take the time that is left")
    parser.add_argument("--data-root", type=Path, help="folder of the study's manifests")
    parser.add_argument("--jobs", type=int, default=8, help="runs of the study at a time")
    parser.add_argument("--part", choices=LIMITS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(RESULT + json.dumps(PARTS[options.part](options)))
        return
    deadline = time.monotonic() + 60 * options.minutes
    report: dict[str, Any] = {"dry_run": options.dry_run, "parts": {}}
    if options.wheels:
        command = [sys.executable, "-m", "pip", "install", "--no-index", "--find-links", str(options.wheels)]
        report["parts"]["install"] = execute([*command, str(HERE.parent)], 180)
    for part in options.parts:
        seconds = min(LIMITS[part], deadline - time.monotonic() - 5)
        if seconds < 10:
            report["parts"][part] = {"why": "no time was left"}
        else:
            options.minutes = seconds / 60
            report["parts"][part] = execute([*own_command(options), "--part", part], seconds)
        print(f"{part}: {json.dumps(report['parts'][part])}", flush=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n")


def own_command(options: argparse.Namespace) -> list[str]:
    """Return the command that executes one part with these options."""
    command = [sys.executable, str(HERE / "gpu.py"), "--minutes", f"{options.minutes:.3f}", "--jobs", str(options.jobs)]
    command += ["--dry-run"] if options.dry_run else []
    for name in ("study", "data_root", "json"):
        if getattr(options, name) is not None:
            command += [f"--{name.replace('_', '-')}", str(getattr(options, name).resolve())]
    return command


def execute(command: list[str], seconds: float) -> dict[str, Any]:
    """Return the result that a command prints last, its seconds, and the end of its output if it fails."""
    began = time.monotonic()
    paths = os.pathsep.join([str(HERE.parent / "src"), str(HERE), os.environ.get("PYTHONPATH", "")])
    environment = os.environ | {"PYTHONPATH": paths}
    process = subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        output, why = process.communicate(timeout=seconds)[0], None
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 15)
        output, why = process.communicate()[0], f"longer than {seconds:.0f} s"
    lines = output.strip().splitlines()
    found: dict[str, Any] = {"seconds": round(time.monotonic() - began, 1)}
    for line in lines:
        if line.startswith(RESULT):
            found |= json.loads(line.removeprefix(RESULT))
    if process.returncode or why:
        found |= {"why": why or f"exit code {process.returncode}", "output": lines[-30:]}
    return found


def machine(options: argparse.Namespace) -> dict[str, Any]:
    """Return versions, the matrix rate in bf16 and the bandwidth of a copy."""
    import torch

    names = ("auxface", "torch", "torchvision", "timm", "transformers", "accelerate", "numpy")
    versions = {name: version_of(name) for name in names}
    side, count = (512, 1 << 22) if options.dry_run else (8192, 1 << 30)
    device = device_of(options)
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    block = torch.empty(count, dtype=torch.uint8, device=device)
    return {
        "python": platform.python_version(),
        "versions": versions,
        "device": torch.cuda.get_device_name() if device == "cuda" else platform.machine(),
        "matrix_rate": 2 * side**3 / median_seconds(lambda: left @ right, device),
        "bandwidth": 2 * count / median_seconds(block.clone, device),
    }


def tests(options: argparse.Namespace) -> dict[str, Any]:
    """Return the last line of the tests that need a GPU; the dry run only collects them."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider", str(HERE.parent / "tests")]
    command += ["--collect-only"] if options.dry_run else []
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines()
    failed = lines[-15:] if done.returncode else []
    return {"code": done.returncode, "summary": lines[-1] if lines else "", "failed": failed}


def step(options: argparse.Namespace) -> dict[str, Any]:
    """Return the joint step of a ViT-base/16 in bf16 beside that of public parts and the card's matrix rate."""
    from dataclasses import replace

    import torch
    from scaling import operations_per_image
    from step import LDP, SETTINGS, alternate, our_step, peer_step

    from auxface.device import peak_memory

    setting = SETTINGS["small8"] if options.dry_run else SETTINGS["base16"]
    setting = replace(setting, batch=4 if options.dry_run else 128)
    steps = {"ours": our_step(setting, True), "ours, LDP as bits": our_step(setting, True, target=LDP)}
    steps["supervised"] = our_step(setting, True, 1.0)
    why = None
    try:
        steps["peer"] = peer_step(setting, True)
    except ImportError as error:
        why = str(error)
    found = alternate(steps, 2 if options.dry_run else 10)
    speeds = {name: setting.batch / each for name, each in found.items()}
    rate = machine(options)["matrix_rate"]
    result = {
        "images_per_second": speeds,
        "joint_over_supervised": found["ours, LDP as bits"] / found["supervised"],
        "fraction_of_matrix_rate": None if options.dry_run else operations_per_image() * speeds["ours"] / rate,
        "memory_gib": peak_memory(torch.device(device_of(options))) / 2**30,
    }
    return result | ({"why": why} if why else {"over_peer": found["peer"] / found["ours"]})


def texture(options: argparse.Namespace) -> dict[str, Any]:
    """Return images per second of descriptors, and their traffic as a fraction of the bandwidth of a copy."""
    import torch

    from auxface import texture

    device, bandwidth = device_of(options), machine(options)["bandwidth"]
    images = torch.randint(0, 256, (4 if options.dry_run else 1024, 224, 224), dtype=torch.uint8, device=device)
    found: dict[str, Any] = {}
    for name in texture.available():
        if texture.get(name).input != "image":
            continue
        maps = torch.as_tensor(texture.get(name).function(images))
        seconds = median_seconds(lambda name=name: texture.get(name).function(images), device, rounds=5)
        moved = images.numel() + maps.numel() * maps.element_size()
        found[name] = {"images_per_second": len(images) / seconds, "fraction": moved / seconds / bandwidth}
        del maps
    return found


def auto(options: argparse.Namespace) -> dict[str, Any]:
    """Return what ``auto`` chooses for two models, and its time over that of the best fixed choice."""
    from auto import MODELS, compare

    names = ["vit"] if options.dry_run else ["vit", "efficientnet"]
    settings = {name: (*MODELS[name], f"train.batch_size={8 if options.dry_run else 128}") for name in names}
    return {name: compare("l_ssat", settings[name], device_of(options), 2) for name in names}


def parallel(options: argparse.Namespace) -> dict[str, Any]:
    """Return losses and seconds of steps with full and with sharded weights, in a group of one process."""
    import torch
    import torch.distributed as distributed
    from step import LDP, SETTINGS, data, our_model
    from torch import nn

    from auxface.objectives import Batch
    from auxface.training.distributed import make_accelerator
    from auxface.training.fsdp import shard_model
    from auxface.training.optimizer import make_optimizer
    from auxface.training.train_step import set_learning_rate

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    setting, device = SETTINGS["small8" if options.dry_run else "tiny16"], device_of(options)
    pixels, labels = data(setting)
    seeds = torch.arange(setting.batch, device=device)
    batch = Batch(primary=pixels.float() / 255, clean=pixels, labels={"label": labels}, seeds=seeds)
    results: dict[str, Any] = {}
    for kind in ("one process", "ddp", "fsdp"):
        model = our_model(setting, False, 0.1, LDP, precision="fp32")
        accelerator = make_accelerator(model.recipe, device)
        if not distributed.is_initialized():
            distributed.init_process_group("nccl" if device == "cuda" else "gloo", rank=0, world_size=1)
        model.gradient_meter = None
        wrapped: nn.Module = model
        if kind == "ddp":
            wrapped = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
        elif kind == "fsdp":
            shard_model(model, accelerator)
        optimizer = make_optimizer(model, model.recipe.train)
        set_learning_rate(optimizer, 1e-3)
        losses, times = [], []
        for _ in range(3 if options.dry_run else 10):
            began = time.perf_counter()
            loss = wrapped(batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(round(float(loss.detach()), 5))
            times.append(time.perf_counter() - began)
        results[kind] = {"losses": losses, "seconds": statistics.median(times[1:])}
    distributed.destroy_process_group()
    apart = [max(abs(a - b) for a, b in zip(results["one process"]["losses"], results[kind]["losses"], strict=True))
             for kind in ("ddp", "fsdp")]  # fmt: skip
    return results | {"largest_difference": max(apart)}


def study(options: argparse.Namespace) -> dict[str, Any]:
    """Return how many runs of the study ended in the time that is left; its folder is beside the JSON file."""
    from auxface.data.prepare.prepare import prepare
    from auxface.studies.study import study as execute_study

    definition, root = options.study, options.data_root
    out = options.json.with_name(f"{options.json.stem}_study")
    if options.dry_run:
        root = out.with_name(f"{out.name}_data")
        if not (root / "faces.parquet").is_file():
            faces = {"count": 80, "seed": 0, "size": 32}
            prepare("synthetic", root / "images", out=root / "faces.parquet", options=faces)
        definition = root / "study.yaml"
        definition.write_text(STUDY)
    if definition is None:
        return {"why": "no --study was given"}
    # A run that is interrupted at the limit is resumed by the next call.
    budget = f"{max(int(60 * options.minutes) - 25, 5)}s"
    jobs = 1 if options.dry_run else options.jobs
    progress = execute_study(definition, out, budget=budget, data_root=root, jobs=jobs, device=device_of(options))
    return {"done": progress.done, "failed": progress.failed, "left": progress.left, "now": progress.now}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "machine": machine,
    "tests": tests,
    "step": step,
    "texture": texture,
    "auto": auto,
    "parallel": parallel,
    "study": study,
}


def device_of(options: argparse.Namespace) -> str:
    return "cpu" if options.dry_run else "cuda"


def version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def median_seconds(function: Callable[[], object], device: str, rounds: int = 10) -> float:
    import torch

    times: list[float] = []
    for _ in range(rounds + 2):
        began = time.perf_counter()
        function()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


if __name__ == "__main__":
    main()
