"""Explanations of single faces."""

import io

import pytest
from PIL import Image

from auxface.errors import InputError
from auxface.inference.explain import explain_image, explanation_figure
from auxface.inference.predictor import Predictor, TorchScorer


def test_explanation_is_complete_and_repeatable(saved, faces):
    predictor = Predictor(TorchScorer(saved, "cpu"))
    [one], [again] = explain_image(predictor, faces[0]), explain_image(predictor, faces[0])
    assert one.to_dict() == again.to_dict()
    assert [result.name for result in one.reconstructions] == ["rgb", "local_binary_pattern"]
    assert one.attention.shape == one.gradients.shape == one.reconstructions[0].error.shape == (4, 4)
    figure = Image.open(io.BytesIO(explanation_figure([one])))
    assert figure.width > 1000


@pytest.mark.parametrize(
    ("arguments", "sentence"), [({"task": "age"}, "no task 'age'"), ({"face": 2}, "face 2 does not exist")]
)
def test_missing_task_or_face_is_rejected(saved, faces, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        explain_image(Predictor(TorchScorer(saved, "cpu")), faces[0], **arguments)
