"""Published data sets, one file each: how their owners lay them out, and what their labels are."""

from auxface.data.layouts import celeba, faceforensics, fer2013, folder, synthetic, table, utkface
from auxface.data.layouts.registry import Layout, LeftOut, Listing, Option, get_layout, layouts, resolve_options

BUILT_IN: tuple[Layout, ...] = (
    celeba.layout,
    faceforensics.layout,
    fer2013.layout,
    folder.layout,
    synthetic.layout,
    table.layout,
    utkface.layout,
)

__all__ = ["BUILT_IN", "Layout", "LeftOut", "Listing", "Option", "get_layout", "layouts", "resolve_options"]
