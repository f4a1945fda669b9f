"""Hair pigments, linear RGB."""

HAIR_LINEAR: dict[str, tuple[float, float, float]] = {
    "black": (0.012, 0.011, 0.011),
    "dark_brown": (0.045, 0.026, 0.015),
    "brown": (0.115, 0.062, 0.032),
    "auburn": (0.22, 0.072, 0.03),
    "blond": (0.52, 0.36, 0.17),
    "gray": (0.42, 0.42, 0.43),
}
