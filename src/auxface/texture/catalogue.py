"""The descriptors that come with auxface, registered in the order of their definitions."""

from auxface.texture import codes
from auxface.texture.binary_pattern import local_binary_pattern, require_circle
from auxface.texture.directional_pattern import local_directional_number, local_directional_pattern
from auxface.texture.registry import Descriptor, Output, register


def _binary_pattern(points: int, radius: float, method: str, **_: object) -> Output:
    require_circle(points, radius, method)
    if method == "var":
        return Output(low=0.0, high=127.5**2)
    return Output(n_codes=codes.n_codes(points, method), n_bits=points if method in ("default", "ror") else None)


def _byte(**_: object) -> Output:
    return Output.bit_codes(8)


register(
    Descriptor(
        "local_binary_pattern",
        local_binary_pattern,
        _binary_pattern,
        "Ojala, Pietikäinen, Mäenpää, Multiresolution gray-scale and rotation invariant texture classification with "
        "local binary patterns, IEEE TPAMI 24(7), 2002",
        "scalar",
    )
)
register(
    Descriptor(
        "local_directional_pattern",
        local_directional_pattern,
        _byte,
        "Jabid, Kabir, Chae, Local directional pattern (LDP) for face recognition, IEEE ICCE 2010",
        "scalar",
    )
)
register(
    Descriptor(
        "local_directional_number",
        local_directional_number,
        lambda **_: Output.bit_codes(6),
        "Ramirez Rivera, Rojas Castillo, Chae, Local directional number pattern for face analysis: face and expression "
        "recognition, IEEE TIP 22(5), 2013",
        "scalar",
    )
)
