"""Pictures per second: torch, compiled, ONNX Runtime in float and in 8-bit integers; and what `Predictor` costs on top.

    python benchmarks/inference.py MODEL [--seconds 3] [--threads 0] [--no-compile]

All in one run, in turns, so that a busy machine slows them alike; what counts are the ratios. Pictures are arrays at
the model's own size, so that neither decoding nor finding faces is measured.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from auxface.inference.export import export
from auxface.inference.onnx import INPUT, LOGITS, OnnxModel
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.model.directory import load_model

ROUNDS = 5


def rates(runs, batch, seconds):
    """Pictures per second of each, the median of rounds in turns."""
    found = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(ROUNDS):
        for name, run in runs.items():
            count, start = 0, time.perf_counter()
            while time.perf_counter() - start < seconds / ROUNDS:
                run()
                count += 1
            found[name].append(batch * count / (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in found.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    saved = load_model(arguments.model)
    size = saved.config.recipe.encoder.image_size
    faces = np.random.default_rng(0).integers(0, 256, (32, size, size, 3), dtype=np.uint8)
    compiled = None if arguments.no_compile else torch.compile(saved.model.logits)
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        models = {}
        for int8 in ("none", "dynamic", "static"):
            path = Path(folder) / f"{int8}.onnx"
            export(saved, path, int8=int8, calibration=np.ascontiguousarray(faces.transpose(0, 3, 1, 2)))
            models[int8] = OnnxModel(path, threads=arguments.threads)
        for batch in (1, 32):
            shown = faces[:batch]
            pictures = np.ascontiguousarray(shown.transpose(0, 3, 1, 2)).astype(np.float32) / 255
            tensor = torch.from_numpy(pictures)
            names = [LOGITS + task.name for task in saved.config.tasks]

            def plain(run, given=tensor):
                with torch.inference_mode():
                    run(given)

            runs = {"torch": lambda: plain(saved.model.logits)}
            if compiled is not None:
                runs["torch compiled"] = lambda: plain(compiled)
            for int8, label in (("none", "onnx"), ("dynamic", "onnx int8 dynamic"), ("static", "onnx int8 static")):
                session = models[int8].session
                runs[label] = lambda s=session, p=pictures, n=names: s.run(n, {INPUT: p})
            several = list(shown)
            for label, scorer in (("torch", TorchScorer(saved, "cpu")), ("onnx", models["none"])):
                predictor = Predictor(scorer, faces="whole", warn=lambda sentence: None)
                runs[f"Predictor over {label}"] = lambda p=predictor, s=several: p.predict(s)
            found = rates(runs, batch, arguments.seconds)
            report[f"batch {batch}"] = {name: round(value, 1) for name, value in found.items()} | {
                f"overhead of Predictor over {label}": round(found[label] / found[f"Predictor over {label}"] - 1, 3)
                for label in ("torch", "onnx")
            }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
