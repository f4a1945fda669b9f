"""Face models trained on a supervised task and on rebuilding local texture, and measured by group.

Names are loaded when first used, so that ``auxface.texture`` and ``auxface.evaluation`` stay usable alone.
"""

__version__ = "0.1.0"
