import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import auxface
from auxface.errors import InputError
from auxface.inference.export import export_model
from auxface.inference.predictor import Predictor
from auxface.model import JointModel
from auxface.model.saved_model import SavedModel, save_model
from auxface.model.scoring import score_images
from auxface.objectives import LearnedTask
from auxface.recipe import Encoder, Recipe

onnxruntime = pytest.importorskip("onnxruntime")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "use.md"


@pytest.fixture(scope="module")
def onnx_file(saved, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "x.onnx"
    export_model(saved, path)
    return path


@pytest.fixture(scope="module")
def real(shared_data):
    paths = sorted((shared_data / "demographics_utkface" / "images").rglob("*.jpg"))[:64]
    return np.stack([np.asarray(Image.open(path).convert("RGB").resize((32, 32))) for path in paths]).transpose(
        0, 3, 1, 2
    )


def test_onnx_equals_torch_at_any_batch_size(saved, onnx_file, real):
    from auxface.inference.onnx_model import OnnxModel

    expected = score_images(saved.model, real)
    for batch_size in (1, 7, 64):
        found = OnnxModel(onnx_file).score_images(real, batch_size=batch_size)
        for name, logits in expected.items():
            np.testing.assert_allclose(found[name], logits, atol=1e-4)


def test_convolutional_encoder_is_exported(real, tmp_path):
    recipe = Recipe(primary_weight=1, encoder=Encoder(name="convnext_atto", image_size=64, patch_size=32))
    try:
        model = JointModel(recipe, [LearnedTask("mood", "class", ("a", "b"))]).eval()
    except InputError as error:
        pytest.skip(f"no convolutional encoders in this version ({error})")
    export_model(SavedModel(model, model.default_config()), tmp_path / "c.onnx")
    from auxface.inference.onnx_model import OnnxModel

    large = np.repeat(np.repeat(real, 2, axis=2), 2, axis=3)
    found = OnnxModel(tmp_path / "c.onnx").score_images(large)
    np.testing.assert_allclose(found["mood"], score_images(model, large)["mood"], atol=1e-4)


@pytest.mark.parametrize("kept", [1.0, 0.75])
def test_documented_code_equals_the_predictor(saved, folder_of_faces, kept, tmp_path, monkeypatch):
    code = re.search(r"<!-- executed by .*? -->\n```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]
    assert "auxface." not in code.replace("about", "")
    assert "import auxface" not in code
    assert len(code.strip().splitlines()) <= 30
    encoder = saved.config.recipe.encoder.model_copy(update={"evaluation_crop": kept})
    recipe = saved.config.recipe.model_copy(update={"encoder": encoder})
    cropping = SavedModel(saved.model, saved.config.model_copy(update={"recipe": recipe}))
    save_model(saved.model, tmp_path / "model", cropping.config)
    export_model(cropping, tmp_path / "x.onnx")
    monkeypatch.chdir(tmp_path)
    paths = sorted(folder_of_faces.rglob("*.png"))
    names = {"paths": paths}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    predictor = Predictor.from_pretrained(tmp_path / "model", device="cpu")
    expected = [
        one.faces[0].tasks[task.name].answer for task in predictor.config.tasks for one in predictor.predict(paths)
    ]
    assert names["answers"] == expected


def test_predictor_of_file_equals_that_of_directory(model_folder, onnx_file, faces):
    of_file, of_folder = Predictor.from_pretrained(onnx_file), Predictor.from_pretrained(model_folder, device="cpu")
    assert of_file.config == of_folder.config
    for one, other in zip(of_file(faces), of_folder(faces), strict=True):
        for task, answer in one.faces[0].tasks.items():
            assert answer.probabilities == pytest.approx(other.faces[0].tasks[task].probabilities, abs=1e-4)
    with pytest.raises(InputError, match="cannot be saved as a model directory"):
        of_file.save_pretrained("anywhere")


def test_explain_names_an_exported_model_and_not_the_image(onnx_file, tmp_path):
    with pytest.raises(InputError, match=rf"^{re.escape(str(onnx_file))}: explanations need gradients"):
        auxface.explain(onnx_file, tmp_path / "face.png", tmp_path / "why.png")


def test_file_contains_no_local_paths(onnx_file):
    data = onnx_file.read_bytes()
    assert str(Path(__file__).resolve().parents[2]).encode() not in data
    assert b"site-packages" not in data


def test_torch_export_equals_torch(saved, real, tmp_path):
    export_model(saved, tmp_path / "x.pt2", format="pt2")
    extra = {"auxface.json": ""}
    program = torch.export.load(tmp_path / "x.pt2", extra_files=extra)
    assert json.loads(extra["auxface.json"])["image_size"] == 32
    with torch.no_grad():
        outputs = program.module()(torch.from_numpy(np.ascontiguousarray(real[:5])).float() / 255)
    np.testing.assert_allclose(outputs[1].numpy(), score_images(saved.model, real[:5])["mood"], atol=1e-5)


@pytest.mark.parametrize("int8", ["dynamic", "static"])
def test_quantized_model_stays_close_to_the_original(saved, real, tmp_path, int8):
    from auxface.inference.onnx_model import OnnxModel

    export_model(saved, tmp_path / "q.onnx", int8=int8, calibration=real)
    found, expected = OnnxModel(tmp_path / "q.onnx").score_images(real), score_images(saved.model, real)
    for name in expected:
        assert np.corrcoef(found[name].ravel(), expected[name].ravel())[0, 1] > 0.95
        assert not np.array_equal(found[name], expected[name])
    # Ranges measured at run time must not depend on the batch.
    for size in (1, 7, 32):
        again = OnnxModel(tmp_path / "q.onnx").score_images(real, batch_size=size)
        for name in found:
            np.testing.assert_allclose(again[name], found[name], rtol=0, atol=1e-5)


def test_heads_stay_in_floating_point_when_quantized(saved, tmp_path):
    onnx = pytest.importorskip("onnx")
    export_model(saved, tmp_path / "q.onnx", int8="dynamic")
    nodes = onnx.load(tmp_path / "q.onnx").graph.node
    producers = {name: node for node in nodes for name in node.output}
    for task in ("mood", "forged", "has"):
        node = producers[f"logits.{task}"]
        while node.op_type not in ("MatMul", "Gemm", "MatMulInteger"):
            node = producers[node.input[0]]
        assert node.op_type != "MatMulInteger"
    assert any(node.op_type == "MatMulInteger" for node in nodes)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"int8": "static"}, "--calibrate"),
        ({"int8": "dynamic", "format": "pt2"}, "ONNX Runtime"),
        ({"format": "tflite"}, "expected onnx or pt2"),
    ],
)
def test_contradicting_options_are_rejected(saved, tmp_path, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        export_model(saved, tmp_path / "x.onnx", **arguments)
    assert not list(tmp_path.iterdir())


def test_files_not_exported_by_auxface_are_rejected(onnx_file, tmp_path):
    import onnx

    from auxface.inference.onnx_model import OnnxModel

    (tmp_path / "a.onnx").write_bytes(b"nothing")
    model = onnx.load(onnx_file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "b.onnx")
    onnx.helper.set_model_props(model, {"auxface": "{"})
    onnx.save(model, tmp_path / "c.onnx")
    for name, sentence in (
        ("none", "no such file"),
        ("a", "cannot run this file"),
        ("b", "auxface did not export this ONNX file"),
        ("c", "not a valid model configuration"),
    ):
        with pytest.raises(InputError, match=sentence):
            OnnxModel(tmp_path / f"{name}.onnx")


def test_dynamic_quantization_of_convolutions_alone_is_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    from auxface.inference.onnx_model import quantize

    def weights(name, *shape):
        return onnx.numpy_helper.from_array(np.full(shape, 0.1, np.float32), name)

    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Conv", ["images", "kernel"], ["features"], name="conv"),
            onnx.helper.make_node("GlobalAveragePool", ["features"], ["pooled"], name="pool"),
            onnx.helper.make_node("Flatten", ["pooled"], ["flat"], name="flat"),
            onnx.helper.make_node("Gemm", ["flat", "head"], ["scores"], name="head_product"),
        ],
        "small",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 8, 8])],
        [onnx.helper.make_tensor_value_info("scores", onnx.TensorProto.FLOAT, [1, 2])],
        [weights("kernel", 4, 3, 3, 3), weights("head", 4, 2)],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), tmp_path / "x.onnx")
    with pytest.raises(InputError, match="use --int8 static"):
        quantize(tmp_path / "x.onnx", static=False, images=None)
