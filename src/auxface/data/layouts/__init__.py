"""Published data sets, one file each: how their owners lay them out, and what their labels are."""

from auxface.data.layouts import (
    affectnet,
    celeba,
    celebdf,
    ckplus,
    df40,
    dfdc,
    faceforensics,
    fairface,
    fer2013,
    folder,
    lfw,
    rafdb,
    synthetic,
    synthetic_clips,
    table,
    uadfv,
    utkface,
)
from auxface.data.layouts.registry import Layout, LeftOut, Listing, Option, get_layout, layouts, resolve_options

BUILT_IN: tuple[Layout, ...] = (
    affectnet.layout,
    celeba.layout,
    celebdf.layout,
    ckplus.layout,
    df40.layout,
    dfdc.layout,
    faceforensics.layout,
    fairface.layout,
    fer2013.layout,
    folder.layout,
    lfw.layout,
    rafdb.layout,
    synthetic.layout,
    synthetic_clips.layout,
    table.layout,
    uadfv.layout,
    utkface.layout,
)

__all__ = ["BUILT_IN", "Layout", "LeftOut", "Listing", "Option", "get_layout", "layouts", "resolve_options"]
