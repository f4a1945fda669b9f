"""Sphinx configuration: one site from README.md, the pages of docs/ and the docstrings. `make docs` builds it.

The source folder is the repository, so that links between README.md, CHANGELOG.md and docs/ are the same on the site
and on a plain git host. The pages hold no Sphinx markup except in docs/api: the navigation is derived from the links
of docs/index.md.
"""

import re
from pathlib import Path

from sphinx.application import Sphinx

import auxface

ROOT = Path(__file__).resolve().parents[2]
INDEX = ROOT / "docs" / "index.md"

project = "auxface"
author = "The auxface contributors"
version = release = auxface.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
include_patterns = ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**"]
exclude_patterns = [".*", "site", "dist", "runs", "src", "tests", "docs/site"]
root_doc = "README"
templates_path = ["templates"]

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


def setup(app: Sphinx) -> None:
    """Connect the functions of this file to the build."""
    app.connect("source-read", add_navigation)
    app.connect("build-finished", write_index)
