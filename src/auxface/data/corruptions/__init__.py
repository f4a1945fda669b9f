"""Common corruptions at five severities (Hendrycks and Dietterich, 2019), JPEG compression, resizing and occlusion.

Corruptions are applied to batches with one seed per image, and the result for an image does not depend on the other
images of the batch. The parameters are the published ones for 224 x 224 images. Lengths in pixels (blur radii,
displacements, flake sizes) are scaled by side / 224. Amounts of noise and light are not scaled.

Example:
    >>> import torch
    >>> images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    >>> corrupt(images, "gaussian_noise", severity=3, seeds=torch.arange(2)).shape
    torch.Size([2, 3, 64, 64])
"""

from auxface.data.corruptions import noise_blur, weather_digital
from auxface.data.corruptions.registry import SEVERITIES, corrupt, corruptions

__all__ = ["SEVERITIES", "corrupt", "corruptions", "noise_blur", "weather_digital"]
