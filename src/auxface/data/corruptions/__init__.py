"""Common corruptions in five severities (Hendrycks and Dietterich, 2019), and what else faces meet.

Batched, seeded, and the same for an image alone as in any batch. Constants are the published ones for 224-pixel
images; lengths in pixels (blur radii, displacements, flakes) are scaled by side / 224, amounts of noise and light
are not.
"""

from auxface.data.corruptions import digital, noise_blur, occlusion, weather
from auxface.data.corruptions.registry import SEVERITIES, corrupt, corruptions

__all__ = ["SEVERITIES", "corrupt", "corruptions", "digital", "noise_blur", "occlusion", "weather"]
