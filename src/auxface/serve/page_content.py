"""Generated content of the web page: the model card as HTML, and synthetic sample faces.

Example::

    html = card_page(config, report)
    png = SampleFaces(6)[0]
"""

import io
import re
import threading
from collections.abc import Mapping
from html import escape, unescape
from typing import Any

from PIL import Image

from auxface.data.synthetic import describe_face, render_face
from auxface.model.card import model_card
from auxface.model.config import ModelConfig

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="/page/style.css">
</head>
<body class="card">
<main>
<p><a href="/">Back to the model</a></p>
{body}
</main>
</body>
</html>
"""
_SEED = 20
_SIZE = 256
# Step between the indices of sample faces, so that the faces differ in person, lighting and expression.
_STEP = 13


def card_page(config: ModelConfig, report: Mapping[str, Any] | None = None) -> str:
    """Return the model card as HTML.

    The whole text is escaped, because it comes from the configuration of a model, which may be untrusted.

    Args:
        config: configuration of the model.
        report: content of an audit's ``report.json``, whose results are shown; None to show no results.
    """
    return _PAGE.format(title=escape(f"Model card: {config.recipe.name}"), body=to_html(model_card(config, report)))


def to_html(markdown: str) -> str:
    """Convert Markdown to HTML; supports the headings, tables, lists and paragraphs of a model card."""
    parts: list[str] = []
    for block in re.split(r"\n\s*\n", markdown.strip()):
        lines = block.splitlines()
        heading = re.fullmatch(r"(#{1,3}) (.*)", lines[0])
        if heading:
            level = len(heading[1])
            parts.append(f"<h{level}>{_inline(heading[2])}</h{level}>")
            lines = lines[1:]
        if not lines:
            continue
        if lines[0].startswith("|"):
            parts.append(_table(lines))
        elif lines[0].startswith("* "):
            items = "".join(f"<li>{_inline(line.removeprefix('* '))}</li>" for line in lines)
            parts.append(f"<ul>{items}</ul>")
        else:
            parts.append(f"<p>{_inline(' '.join(lines))}</p>")
    return "\n".join(parts)


def _table(lines: list[str]) -> str:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    head = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in rows[0])
    body = "".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>" for row in rows[2:])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _inline(text: str) -> str:
    # The text of a card may contain character references, for example for vertical bars in tables.
    parts = [escape(unescape(part)) for part in re.split(r"`([^`]*)`", text)]
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


class SampleFaces:
    """Synthetic faces as PNG files; each face is rendered when it is first requested.

    Args:
        count: number of faces.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._rendered: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> bytes:
        """Return a face as PNG.

        Raises:
            IndexError: there is no face with this number.
        """
        if not 0 <= number < self.count:
            raise IndexError(number)
        with self._lock:
            if number not in self._rendered:
                description, _ = describe_face(number * _STEP, seed=_SEED)
                buffer = io.BytesIO()
                Image.fromarray(render_face(description, _SIZE)).save(buffer, "PNG")
                self._rendered[number] = buffer.getvalue()
            return self._rendered[number]
