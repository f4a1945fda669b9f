"""Demšar's diagram: methods on an axis of mean ranks, bars over those that are not told apart."""

from html import escape

from auxface.studies.ranks import Ranks

# Space of the axis, and of a letter of the names beside it.
_AXIS, _LETTER = 340, 6.6
_TOP, _STEP, _BAR = 46, 20, 9


def critical_difference_diagram(ranks: Ranks) -> str:
    """An SVG element that takes colour and type from the page; the best rank stands left."""
    names = list(ranks.mean)
    left_edge = 40 + _LETTER * max(map(len, names))
    right_edge = left_edge + _AXIS

    def place(rank: float) -> float:
        return left_edge + (rank - 1) / (len(names) - 1) * _AXIS

    half = (len(names) + 1) // 2
    bars = _TOP + 14
    first = bars + _BAR * len(ranks.groups) + 14
    height = first + _STEP * half + 6
    parts = [f'<svg viewBox="0 0 {right_edge + left_edge:.0f} {height}" aria-hidden="true" class="ranks">']
    parts.append(_line(left_edge, _TOP, right_edge, _TOP, "axis"))
    for number in range(1, len(names) + 1):
        x = place(number)
        parts += [_line(x, _TOP - 5, x, _TOP, "axis"), _text(x, _TOP - 9, str(number), "middle")]
    reach = min(ranks.critical, len(names) - 1)
    end = place(1 + reach)
    parts += [
        _line(left_edge, 12, end, 12, "bar"),
        _text(end + 6, 16, f"critical difference {ranks.critical:.2f}", "start"),
    ]
    for number, group in enumerate(ranks.groups):
        y = bars + _BAR * number
        parts.append(
            _line(
                place(ranks.mean[group[0]]) - 4,
                y,
                place(ranks.mean[group[-1]]) + 4,
                y,
                "bar",
            )
        )
    for number, name in enumerate(names):
        left = number < half
        y = first + _STEP * (number if left else len(names) - 1 - number)
        x, edge = place(ranks.mean[name]), left_edge - 8 if left else right_edge + 8
        parts += [_line(x, _TOP, x, y, "lead"), _line(x, y, edge, y, "lead")]
        text = f"{name} {ranks.mean[name]:.2f}" if left else f"{ranks.mean[name]:.2f} {name}"
        parts.append(_text(edge + (-4 if left else 4), y + 4, text, "end" if left else "start"))
    return "".join([*parts, "</svg>"])


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
