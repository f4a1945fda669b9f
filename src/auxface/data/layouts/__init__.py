"""Layouts: one file per published data set, with its folder tree, its splits and its labels."""

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
from auxface.data.layouts.registry import (
    Excluded,
    Layout,
    Listing,
    Option,
    get_layout,
    layouts,
    register,
    resolve_options,
)

for module in (
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
):
    register(module.layout)

__all__ = ["Layout", "Excluded", "Listing", "Option", "get_layout", "layouts", "register", "resolve_options"]
