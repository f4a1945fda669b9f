"""Layouts, which describe the folder tree, splits and labels of each published data set."""

from auxface.data.layouts.deepfake_videos import celebdf, df40, dfdc, uadfv
from auxface.data.layouts.expressions import affectnet, ckplus, rafdb
from auxface.data.layouts.face_attributes import celeba, fairface, lfw, utkface
from auxface.data.layouts.faceforensics import layout as faceforensics
from auxface.data.layouts.fer2013 import layout as fer2013
from auxface.data.layouts.folder import layout as folder
from auxface.data.layouts.music import magnatagatune, mtg_jamendo, track_folder, tracks
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
from auxface.data.layouts.synthetic import synthetic, synthetic_clips, synthetic_tracks
from auxface.data.layouts.table import layout as table

for layout in (
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
    magnatagatune,
    mtg_jamendo,
    rafdb,
    synthetic,
    synthetic_clips,
    synthetic_tracks,
    table,
    track_folder,
    tracks,
    uadfv,
    utkface,
):
    register(layout)

__all__ = ["Layout", "Excluded", "Listing", "Option", "get_layout", "layouts", "register", "resolve_options"]
