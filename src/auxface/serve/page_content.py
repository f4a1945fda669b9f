"""The model card as a page. The card's text comes from a stranger's configuration, so every character is escaped.

Faces that nobody owns, for trying the page: rendered when the server starts.
"""

import io
import re
import threading
from collections.abc import Mapping
from html import escape
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


def card_page(config: ModelConfig, report: Mapping[str, Any] | None = None) -> str:
    """The card as HTML, with the figures of the audit where there is one."""
    return _PAGE.format(title=escape(f"Model card: {config.recipe.name}"), body=to_html(model_card(config, report)))


def to_html(markdown: str) -> str:
    """The few forms that the card uses: headings, tables, lists, paragraphs."""
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
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))


_SEED = 20
_SIZE = 256


class Samples:
    """Synthetic faces as PNG, rendered one after the other in the background; all are there when first asked for.

    Args:
        count: how many.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._made: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> bytes:
        """The face, or IndexError."""
        if not 0 <= number < self.count:
            raise IndexError(number)
        with self._lock:
            if number not in self._made:
                # Every thirteenth, so that people, light and mood differ.
                description, _ = describe_face(number * 13, seed=_SEED)
                buffer = io.BytesIO()
                Image.fromarray(render_face(description, _SIZE)).save(buffer, "PNG")
                self._made[number] = buffer.getvalue()
            return self._made[number]
