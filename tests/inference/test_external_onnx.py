"""ONNX files of other programs: scores equal those computed by hand; mismatches are input errors."""

import json

import numpy as np
import pytest

from auxface.errors import InputError
from auxface.inference.answers import calibrated_scores
from auxface.inference.external_onnx import ExternalOnnx, open_onnx
from auxface.inference.onnx_model import OnnxModel

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
MOODS = ("calm", "glad", "cross")


def write(path, outputs, *, size=32, last=False, batch="n", softmax=False, metadata=None):
    """Write a model that averages its input over space and maps the channels to ``outputs`` (name to width)."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    generator = np.random.default_rng(0)
    axes = onnx.numpy_helper.from_array(np.array([1, 2] if last else [2, 3], np.int64), "axes")
    nodes = [helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0)]
    tensors, infos, weights = [axes], [], {}
    for name, width in outputs.items():
        weights[name] = generator.normal(0, 3, (3, width)).astype(np.float32)
        tensors.append(onnx.numpy_helper.from_array(weights[name], f"w.{name}"))
        raw = f"raw.{name}" if softmax else name
        nodes.append(helper.make_node("MatMul", ["mean", f"w.{name}"], [raw]))
        if softmax:
            nodes.append(helper.make_node("Softmax", [raw], [name], axis=1))
        infos.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, width]))
    shape = [batch, size, size, 3] if last else [batch, 3, size, size]
    given = helper.make_tensor_value_info("pixels", kind, shape)
    graph = helper.make_graph(nodes, "g", [given], infos, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, path)
    return weights


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (9, 3, 32, 32)).astype(np.uint8)


def expected(images, weights, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)):
    seen = (images / 255 - np.array(mean).reshape(3, 1, 1)) / np.array(std).reshape(3, 1, 1)
    return seen.mean(axis=(2, 3)) @ weights


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_logits_use_the_recipes_normalization(saved, images, tmp_path, last, batch):
    images = images[:8]
    weights = write(tmp_path / "m.onnx", {"mood": 3}, last=last, batch=batch)
    found = open_onnx(tmp_path / "m.onnx", saved.config)
    assert isinstance(found, ExternalOnnx)
    assert [task.name for task in found.config.tasks] == ["mood"]
    np.testing.assert_allclose(found.score_images(images)["mood"], expected(images, weights["mood"]), atol=1e-4)


def test_metadata_sets_normalization_and_class_order(saved, images, tmp_path):
    metadata = {"mean": "[0, 0, 0]", "std": "[1, 1, 1]", "classes": json.dumps(["cross", "calm", "glad"])}
    weights = write(tmp_path / "m.onnx", {"mood": 3}, metadata=metadata)
    found = open_onnx(tmp_path / "m.onnx", saved.config).score_images(images)["mood"]
    expected_logits = expected(images, weights["mood"], (0, 0, 0), (1, 1, 1))[:, [1, 2, 0]]
    np.testing.assert_allclose(found, expected_logits, atol=1e-4)


def test_probabilities_are_kept_as_scores(saved, images, tmp_path):
    write(tmp_path / "raw.onnx", {"mood": 3, "forged": 2})
    write(tmp_path / "soft.onnx", {"mood": 3, "forged": 2}, softmax=True)
    raw, soft = (open_onnx(tmp_path / f"{name}.onnx", saved.config) for name in ("raw", "soft"))
    one, two = raw.score_images(images), soft.score_images(images)
    assert one["forged"].shape == (9, 1)
    for record in raw.config.tasks:
        np.testing.assert_allclose(
            calibrated_scores(record, one[record.name]), calibrated_scores(record, two[record.name]), atol=1e-5
        )


def test_files_exported_by_auxface_are_recognized(saved, tmp_path):
    from auxface.inference.export import export_model

    export_model(saved, tmp_path / "exported.onnx")
    assert isinstance(open_onnx(tmp_path / "exported.onnx", None), OnnxModel)


@pytest.mark.parametrize(
    ("outputs", "options", "sentence"),
    [
        ({"mood": 4}, {}, r"output for 'mood' has shape \[1, 4\]; expected 3 values per image \(calm, glad, cross\)"),
        ({"y": 3}, {}, r"its outputs are named y; name each output after its task \(mood, forged, has\)"),
        ({"mood": 3}, {"size": 8}, "a side of 8 pixels; expected 16 to 1024"),
        (
            {"mood": 3},
            {"metadata": {"classes": '["a", "b", "c"]'}},
            "its classes are a, b, c; the task 'mood' has calm",
        ),
        ({"mood": 3}, {"metadata": {"classes": "{"}}, "'classes' in its metadata must be a JSON list"),
        ({"mood": 3}, {"metadata": {"std": "[1, 0, 1]"}}, "'std' in its metadata must be a JSON list of three"),
    ],
)
def test_mismatched_files_are_rejected(saved, tmp_path, outputs, options, sentence):
    write(tmp_path / "m.onnx", outputs, **options)
    with pytest.raises(InputError, match=sentence):
        open_onnx(tmp_path / "m.onnx", saved.config)


def test_file_without_metadata_needs_a_reference(tmp_path):
    write(tmp_path / "m.onnx", {"mood": 3})
    with pytest.raises(InputError, match="also name a model directory with the same tasks"):
        open_onnx(tmp_path / "m.onnx", None)
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="ONNX Runtime cannot run this file"):
        open_onnx(tmp_path / "x.onnx", None)
