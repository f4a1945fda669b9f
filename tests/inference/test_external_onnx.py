"""Somebody else's ONNX file: what fits is scored as its own runtime scores it, what does not gets a sentence."""

import json

import numpy as np
import pytest

from auxface.errors import InputError
from auxface.inference.evaluated_models import calibrated
from auxface.inference.external_onnx import ForeignOnnx, open_onnx
from auxface.inference.onnx_model import OnnxModel

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
MOODS = ("calm", "glad", "cross")


def write(path, outputs, *, size=32, last=False, batch="n", softmax=False, metadata=None):
    """A file that averages its input over space and maps the three channels on; ``outputs``: name to width."""
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
def test_logits_are_those_of_the_file_with_the_recipes_normalization(saved, images, tmp_path, last, batch):
    images = images[:8]
    weights = write(tmp_path / "m.onnx", {"mood": 3}, last=last, batch=batch)
    found = open_onnx(tmp_path / "m.onnx", saved.config)
    assert isinstance(found, ForeignOnnx)
    assert [task.name for task in found.config.tasks] == ["mood"]
    np.testing.assert_allclose(found.score_images(images)["mood"], expected(images, weights["mood"]), atol=1e-4)


def test_metadata_says_normalization_and_the_order_of_classes(saved, images, tmp_path):
    metadata = {"mean": "[0, 0, 0]", "std": "[1, 1, 1]", "classes": json.dumps(["cross", "calm", "glad"])}
    weights = write(tmp_path / "m.onnx", {"mood": 3}, metadata=metadata)
    found = open_onnx(tmp_path / "m.onnx", saved.config).score_images(images)["mood"]
    wanted = expected(images, weights["mood"], (0, 0, 0), (1, 1, 1))[:, [1, 2, 0]]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_probabilities_come_out_as_the_scores_they_are(saved, images, tmp_path):
    write(tmp_path / "raw.onnx", {"mood": 3, "forged": 2})
    write(tmp_path / "soft.onnx", {"mood": 3, "forged": 2}, softmax=True)
    raw, soft = (open_onnx(tmp_path / f"{name}.onnx", saved.config) for name in ("raw", "soft"))
    one, two = raw.score_images(images), soft.score_images(images)
    assert one["forged"].shape == (9, 1)
    for record in raw.config.tasks:
        np.testing.assert_allclose(
            calibrated(record, one[record.name]), calibrated(record, two[record.name]), atol=1e-5
        )


def test_our_own_export_is_known_by_its_metadata(saved, tmp_path):
    from auxface.inference.export import export_model

    export_model(saved, tmp_path / "ours.onnx")
    assert isinstance(open_onnx(tmp_path / "ours.onnx", None), OnnxModel)


@pytest.mark.parametrize(
    ("outputs", "options", "sentence"),
    [
        ({"mood": 4}, {}, r"output for 'mood' has shape \[1, 4\]; expected 3 numbers an image \(calm, glad, cross\)"),
        ({"y": 3}, {}, r"its outputs are called y; name each after its task \(mood, forged, has\)"),
        ({"mood": 3}, {"size": 8}, "8 pixels a side; expected 16 to 1024"),
        (
            {"mood": 3},
            {"metadata": {"classes": '["a", "b", "c"]'}},
            "its classes are a, b, c; the task 'mood' has calm",
        ),
        ({"mood": 3}, {"metadata": {"classes": "{"}}, "'classes' in its metadata must be a JSON list"),
        ({"mood": 3}, {"metadata": {"std": "[1, 0, 1]"}}, "'std' in its metadata must be a JSON list of three"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(saved, tmp_path, outputs, options, sentence):
    write(tmp_path / "m.onnx", outputs, **options)
    with pytest.raises(InputError, match=sentence):
        open_onnx(tmp_path / "m.onnx", saved.config)


def test_a_file_that_says_nothing_needs_a_model_beside_it(tmp_path):
    write(tmp_path / "m.onnx", {"mood": 3})
    with pytest.raises(InputError, match="name a model directory of the same tasks beside it"):
        open_onnx(tmp_path / "m.onnx", None)
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="not a file that ONNX Runtime can run"):
        open_onnx(tmp_path / "x.onnx", None)
