"""Simulated predictions: samples of people, and models of a given skill that are weaker for some groups."""

import numpy as np
import pandas as pd

from auxface.evaluation import Predictions, ScoredTask

EMOTIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")


def emotion_samples(n: int = 800, people: int = 160, seed: int = 0) -> pd.DataFrame:
    """Return key, groups and truth; skin tone and age group belong to a person."""
    generator = np.random.default_rng(seed)
    person = generator.integers(0, people, n)
    tone = generator.integers(1, 11, people)[person]
    age = generator.choice(["0-19", "20-39", "40-59", "60+"], people)[person]
    frame = pd.DataFrame(
        {
            "dataset": "made",
            "method": "",
            "source": [f"p{number:04d}" for number in person],
            "video": "",
            "frame": np.arange(n),
            "split": "test",
            "group.skin_tone": tone,
            "group.age_group": age,
            "true.emotion": np.array(EMOTIONS)[generator.integers(0, len(EMOTIONS), n)],
        }
    )
    return frame


def emotion_scores(samples: pd.DataFrame, skill: float, seed: int, noise: int = 0, bias: float = 0.08) -> Predictions:
    """Return scores of a model: the higher ``skill``, the better; darker tones and some people are harder."""
    shared = np.random.default_rng(99)
    own = np.random.default_rng(seed)
    people, person = np.unique(samples["source"], return_inverse=True)
    hard = shared.normal(0, 0.5, len(people))[person] + bias * samples["group.skin_tone"].to_numpy()
    logits = shared.normal(0, 1, (len(samples), len(EMOTIONS))) + own.normal(0, 0.7, (len(samples), len(EMOTIONS)))
    true = samples["true.emotion"].map({name: place for place, name in enumerate(EMOTIONS)}).to_numpy()
    logits[np.arange(len(samples)), true] += skill - hard - 0.45 * noise
    near = np.array([2, 3, 6, 4, 3, 6, 5, 0])
    logits[np.arange(len(samples)), near[true]] += 0.6
    score = np.exp(logits)
    score /= score.sum(axis=1, keepdims=True)
    frame = samples.copy()
    for place, name in enumerate(EMOTIONS):
        frame[f"score.emotion.{name}"] = score[:, place]
    facts = {"model": "made", "seed": seed}
    return Predictions(frame, (ScoredTask("emotion", "class", EMOTIONS),), {"unreadable": 3, "no_face": 2}, facts)


def forged_predictions(n: int = 4000, videos: int = 200, seed: int = 0, skill: float = 1.5) -> Predictions:
    """Return frames of real and forged videos; most of the noise is common to the frames of one video."""
    generator = np.random.default_rng(seed)
    video = generator.integers(0, videos, n)
    forged = (np.arange(videos) % 2)[video]
    race = generator.choice(["Asian", "Black", "Indian", "White"], videos)[video]
    gender = generator.choice(["Female", "Male"], videos)[video]
    luck = generator.normal(0, 0.8, videos)[video]
    logit = skill * (forged - 0.5) * (1 - 0.4 * (race == "Black")) + luck + generator.normal(0, 0.6, n)
    score = 1 / (1 + np.exp(-2 * logit))
    frame = pd.DataFrame(
        {
            "dataset": "made",
            "method": np.where(forged == 1, "swap", "original"),
            "source": [f"s{number // 2:03d}" for number in video],
            "video": [f"v{number // 2:03d}" for number in video],
            "frame": np.arange(n),
            "split": "test",
            "group.race": race,
            "group.gender": gender,
            "true.forged": forged,
            "score.forged.forged": score,
        }
    )
    task = ScoredTask("forged", "binary", ("real", "forged"), {"forged": 0.5}, "balanced_accuracy")
    return Predictions(frame, (task,), {"no_face": 37}, {"model": "made"})


def scored_samples(seed: int, n: int = 80, steps: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """Return true labels, 0 or 1 with both present, and scores in steps, so that some are equal."""
    generator = np.random.default_rng(seed)
    true = generator.integers(0, 2, n)
    true[:2] = [0, 1]
    return true, np.round(np.clip(0.5 + 0.2 * (true - 0.5) + generator.normal(0, 0.2, n), 0, 1) * steps) / steps
