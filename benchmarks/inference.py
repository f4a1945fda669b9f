"""Measure images per second with torch, torch.compile and ONNX Runtime (float and 8-bit), and the cost of `Predictor`.

    python benchmarks/inference.py MODEL [--seconds 10] [--threads 0] [--no-compile] [--images FOLDER]

All variants are measured in turns within one run, so that other load on the machine slows them equally; the ratios of
the medians are meaningful. torch and ONNX Runtime are given prepared float batches. ``Predictor over arrays`` is given
uint8 images of the model's input size: its overhead is stacking, conversion to float, calibration and answers.
``Predictor over files`` (with ``--images``) also reads, decodes and resizes. Neither detects faces.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from auxface.inference.export import export_model
from auxface.inference.onnx_model import INPUT, LOGITS, OnnxModel
from auxface.inference.predictor import Predictor, TorchScorer
from auxface.model.saved_model import load_model


def rates(runs, batch, seconds):
    """Return the images per second of each variant, from the median time of its calls."""
    spent = {name: [] for name in runs}
    for run in runs.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(spent[next(iter(runs))]) < 5:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            spent[name].append(time.perf_counter() - start)
    return {name: batch / float(np.median(times)) for name, times in spent.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=10, help="for each batch size, all variants together")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--images", type=Path, help="a folder of face crops")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    saved = load_model(arguments.model)
    saved.model.eval()
    size = saved.config.recipe.encoder.image_size
    faces = np.random.default_rng(0).integers(0, 256, (32, size, size, 3), dtype=np.uint8)
    files = sorted(arguments.images.rglob("*.jpg"))[:32] if arguments.images else []
    compiled = None if arguments.no_compile else torch.compile(saved.model.logits)
    names = [LOGITS + task.name for task in saved.config.tasks]
    report = {"threads": arguments.threads or torch.get_num_threads()}
    with tempfile.TemporaryDirectory() as folder:
        models = {}
        for int8, label in (("none", "onnx"), ("dynamic", "onnx int8 dynamic"), ("static", "onnx int8 static")):
            path = Path(folder) / f"{int8}.onnx"
            export_model(saved, path, int8=int8, calibration=np.ascontiguousarray(faces.transpose(0, 3, 1, 2)))
            models[label] = OnnxModel(path, threads=arguments.threads)
        for batch in (1, 32):
            images = np.ascontiguousarray(faces[:batch].transpose(0, 3, 1, 2)).astype(np.float32) / 255
            tensor = torch.from_numpy(images)

            def plain(run, given=tensor):
                with torch.inference_mode():
                    run(given)

            runs = {"torch": lambda: plain(saved.model.logits)}
            if compiled is not None:
                runs["torch compiled"] = lambda: plain(compiled)
            for label, model in models.items():
                runs[label] = lambda s=model.session, p=images: s.run(names, {INPUT: p})
            overheads = []
            for label, scorer in (("torch", TorchScorer(saved, "cpu")), ("onnx", models["onnx"])):
                predictor = Predictor(scorer, faces="whole", warn=lambda sentence: None)
                for kind, given in (("arrays", list(faces[:batch])), ("files", files[:batch])):
                    if given:
                        name = f"Predictor over {kind}, {label}"
                        runs[name] = lambda p=predictor, g=given: p.predict(g)
                        overheads.append((f"overhead with {kind}, {label}", label, name))
            found = rates(runs, batch, arguments.seconds)
            report[f"batch {batch}"] = {name: round(value, 1) for name, value in found.items()} | {
                text: round(found[label] / found[name] - 1, 3) for text, label, name in overheads
            }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
