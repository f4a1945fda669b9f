"""Published data sets, one file each: how their owners lay them out, and what their labels are."""

from auxface.data.layouts import synthetic, table
from auxface.data.layouts.registry import Layout, Listing, Option, get_layout, layouts, resolve_options

BUILT_IN: tuple[Layout, ...] = (synthetic.layout, table.layout)

__all__ = ["BUILT_IN", "Layout", "Listing", "Option", "get_layout", "layouts", "resolve_options"]
