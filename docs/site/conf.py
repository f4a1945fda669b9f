"""Sphinx configuration: one site from README.md, the pages of docs/ and the docstrings. `make docs` builds it.

The source folder is the repository, so that links between README.md, CHANGELOG.md and docs/ are the same on the site
and on a plain git host. The pages hold no Sphinx markup except in docs/api: the navigation is derived from the links
of docs/index.md.
"""

import re
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from pydantic_core import PydanticUndefined
from sphinx import addnodes
from sphinx.application import Sphinx

import auxface
from auxface import recipe

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / "docs" / "index.md"
# A character of the private use area, which no docstring contains.
COLON = "\ue000"

project = "auxface"
author = "The auxface contributors"
version = release = auxface.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**"]
exclude_patterns = [".*", "site", "dist", "runs", "src", "tests", "docs/site"]
root_doc = "README"
# Sphinx and autosummary read relative paths from different folders.
templates_path = [str(Path(__file__).parent / "templates")]

myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False
python_maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"auxface {version}"
html_copy_source = False
html_show_copyright = False


def navigation() -> str:
    """Return a hidden table of contents for each section of docs/index.md, from the links in its lists."""
    parts = []
    for section in INDEX.read_text(encoding="utf-8").split("\n## ")[1:]:
        heading, _, body = section.partition("\n")
        pages = re.findall(r"^(?:\*|\d+\.) \[[^]]+\]\(([^)#]+)\.md\)", body, re.MULTILINE)
        pages = ["/" + (INDEX.parent / page).resolve().relative_to(ROOT).as_posix() for page in pages]
        parts.append("\n".join(["```{toctree}", ":hidden:", f":caption: {heading}", "", *pages, "```"]))
    project_files = ["/docs/index", "/CONTRIBUTING", "/SECURITY"]
    parts.append("\n".join(["```{toctree}", ":hidden:", ":caption: Project", "", *project_files, "```"]))
    return "\n\n".join(parts)


def add_navigation(app: Sphinx, page: str, text: list[str]) -> None:
    """Append the tables of contents to the first page."""
    if page == root_doc:
        text[0] += "\n\n" + navigation() + "\n"


def write_index(app: Sphinx, error: Exception | None) -> None:
    """Write index.html, which browsers open for a folder, as a link to the first page."""
    if error is None and app.builder.format == "html":
        target = app.builder.get_target_uri(root_doc)
        page = f'<!doctype html><meta http-equiv="refresh" content="0; url={target}"><a href="{target}">auxface</a>\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def hide_signature(app: Sphinx, what: str, name: str, obj: Any, *unused: Any) -> tuple[str, None] | None:
    """Hide the long constructor of a class whose fields are listed one by one."""
    if what != "class":
        return None
    listed = issubclass(obj, BaseModel) or (is_dataclass(obj) and "Attributes:" in (obj.__doc__ or ""))
    return ("", None) if listed else None


def hide_colons(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep Napoleon from reading the words before a colon in the first line of an attribute as the attribute's type."""
    if what in ("attribute", "property") and lines:
        lines[0] = lines[0].replace(":", COLON)


def restore_colons(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Undo `hide_colons` after Napoleon has read the lines."""
    lines[:] = [line.replace(COLON, ":") for line in lines]


def describe_keys(app: Sphinx, doctree: nodes.document) -> None:
    """Write the type of a recipe key as ``int (>= 1)`` instead of Pydantic's metadata, followed by its default."""
    for signature in doctree.findall(addnodes.desc_signature):
        section, _, key = signature.get("fullname", "").rpartition(".")
        if signature.get("module") != "auxface.recipe" or not section:
            continue
        field = getattr(getattr(recipe, section, None), "__pydantic_fields__", {}).get(key)
        for node in signature.findall(addnodes.desc_annotation):
            node.children = [nodes.Text(readable_type(node.astext()))]
        default = PydanticUndefined if field is None else field.get_default(call_default_factory=True)
        # The defaults of a section are on its own page.
        if default is not PydanticUndefined and not isinstance(default, BaseModel):
            signature += addnodes.desc_annotation("", f" = {default!r}")


def readable_type(text: str) -> str:
    """Return the text of an annotation without Pydantic's classes."""
    text = re.sub(r"FieldInfo\(annotation=NoneType, required=True, metadata=\[(.*?)\]\)", r"\1", text)
    for metadata in (", _PydanticGeneralMetadata(union_mode='left_to_right')", ", SerializeAsAny()"):
        text = text.replace(metadata, "")
    for name, sign in (("Ge", ">="), ("Gt", ">"), ("Le", "<="), ("Lt", "<")):
        text = re.sub(rf"{name}\({name.lower()}=([^)]*)\)", rf"{sign} \1", text)
    innermost = re.compile(r"Annotated\[((?:(?!Annotated\[)(?:[^\[\]]|\[[^\[\]]*\]))*)\]")
    while found := innermost.search(text):
        kind, *bounds = re.split(r", (?=[<>])", found[1], maxsplit=1)
        text = text[: found.start()] + kind + "".join(f" ({bound})" for bound in bounds) + text[found.end() :]
    return text


def setup(app: Sphinx) -> None:
    """Connect the functions of this file to the build."""
    app.connect("doctree-read", describe_keys)
    app.connect("autodoc-process-docstring", hide_colons, priority=400)
    app.connect("autodoc-process-docstring", restore_colons, priority=600)
    app.connect("autodoc-process-signature", hide_signature)
    app.connect("source-read", add_navigation)
    app.connect("build-finished", write_index)
