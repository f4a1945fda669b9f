"""The surface of the head as seen by the camera, and the noise patterns painted on it.

In head coordinates, u points to the right of the image, v points down, and the height h points toward the camera. All
three are in face units. (0, 0) lies between the eyes and the tip of the nose, the chin is near v = 1, the crown near
v = -1.1, and the cheekbones near u = ±0.74.
"""

import math
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from auxface.data.synthetic.description import Expression, Identity, Scene

# Length of a face unit at zoom 1, as a fraction of the image side.
UNIT = 0.44
_OUTLINE_BINS = 512
_DOME_DEPTH = 0.66
_TILE = 256  # A tile of 256 KB stays in the processor's cache, which makes sampling three times as fast
_WAVELENGTH = 16.0  # Wavelength of the main band of every tile in texels
_SEED = 20190614

Window = tuple[slice, slice]
"""Slices of rows and columns."""


@dataclass
class Surface:
    """The point of the head shown by each pixel and the layers painted so far, as float32 [R, R] arrays.

    Attributes:
        u: horizontal head coordinate of each pixel, increasing to the right.
        v: vertical head coordinate of each pixel, increasing downward.
        x: horizontal image coordinate of each pixel in face units, increasing to the right, without shift and roll.
        y: vertical image coordinate of each pixel in face units, increasing downward, without shift and roll.
        rho2: squared distance from (0, 0) relative to the outline of the head, which lies at 1.
        pixel: side of a pixel in face units.
        rotation: sine and cosine of yaw, followed by sine and cosine of pitch.
        roll: sine and cosine of roll.
        scene: scene, which provides pose and light.
        height: relief above the plane of the head in face units.
        albedo: linear RGB color of the surface [3, R, R].
        gloss: strength of the highlight.
        soft: amount of light that spreads below the surface, 1 for skin and 0 for most other materials.
        cover: fraction of each pixel that is not background.
    """

    u: np.ndarray
    v: np.ndarray
    x: np.ndarray
    y: np.ndarray
    rho2: np.ndarray
    pixel: float
    rotation: tuple[float, float, float, float]
    roll: tuple[float, float]
    scene: Scene
    height: np.ndarray = field(init=False)
    albedo: np.ndarray = field(init=False)
    gloss: np.ndarray = field(init=False)
    soft: np.ndarray = field(init=False)
    cover: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        shape = self.u.shape
        self.height = np.full(shape, -0.5, np.float32)
        self.albedo = np.zeros((3, *shape), np.float32)
        self.gloss = np.zeros(shape, np.float32)
        self.soft = np.zeros(shape, np.float32)
        self.cover = np.zeros(shape, np.float32)

    def window(self, u0: float, u1: float, v0: float, v1: float) -> Window:
        """Return the rows and columns of all pixels in a box in u and v, or empty slices if there are none."""
        size = self.u.shape[0]
        sin_yaw, cos_yaw, sin_pitch, cos_pitch = self.rotation
        sin_roll, cos_roll = self.roll
        # The minimum and maximum heights in the box limit how far a rotation of the head can move the box.
        far = max((u0 / 0.76) ** 2, (u1 / 0.76) ** 2) + max((v0 / 1.06) ** 2, (v1 / 1.06) ** 2)
        low, high = max(0.58 - 0.58 * far, -0.28), 0.76
        u, v, h = 0.5 * (u0 + u1), 0.5 * (v0 + v1), 0.5 * (low + high)
        du, dv, dh = 0.5 * abs(u1 - u0) + 0.02, 0.5 * abs(v1 - v0) + 0.02, 0.5 * (high - low)
        x, z = u * cos_yaw + h * sin_yaw, h * cos_yaw - u * sin_yaw
        dx, dz = du * cos_yaw + dh * abs(sin_yaw), dh * cos_yaw + du * abs(sin_yaw)
        y, dy = v * cos_pitch + z * sin_pitch, dv * cos_pitch + dz * abs(sin_pitch)
        column = (x * cos_roll - y * sin_roll + self.scene.shift_x) / self.pixel + size / 2
        row = (x * sin_roll + y * cos_roll + self.scene.shift_y) / self.pixel + size / 2
        wide = (dx * cos_roll + dy * abs(sin_roll)) / self.pixel + 1
        tall = (dy * cos_roll + dx * abs(sin_roll)) / self.pixel + 1
        left, top = min(max(int(column - wide), 0), size), min(max(int(row - tall), 0), size)
        right, bottom = min(max(int(column + wide) + 1, left), size), min(max(int(row + tall) + 1, top), size)
        return slice(top, bottom), slice(left, right)

    def edge(self, distance: np.ndarray, softness: float | np.ndarray = 0.0) -> np.ndarray:
        """Return the antialiased coverage 0..1 of a shape given its signed distance in face units (negative inside)."""
        width = 1.4 * self.pixel + softness
        return np.clip(0.5 - distance * (1.0 / width), 0.0, 1.0)

    def bump(self, u: float, v: float, width: float, length: float, amount: float) -> None:
        """Add a Gaussian of height ``amount`` to the relief; a negative ``amount`` makes a hollow."""
        rows, columns = self.window(u - 2.6 * width, u + 2.6 * width, v - 2.6 * length, v + 2.6 * length)
        a = (self.u[rows, columns] - u) * (1 / width)
        b = (self.v[rows, columns] - v) * (1 / length)
        self.height[rows, columns] += amount * np.exp(-0.5 * (a * a + b * b))

    def paint(
        self,
        where: Window,
        alpha: np.ndarray,
        color: np.ndarray,
        *,
        gloss: float | np.ndarray | None = None,
        soft: float | None = None,
        height: np.ndarray | None = None,
    ) -> None:
        """Blend a color, [3, 1, 1] or [3, h, w], and the other layers if given, into the window ``where``."""
        rows, columns = where
        if alpha.size == 0:
            return
        albedo = self.albedo[:, rows, columns]
        albedo += alpha * (color - albedo)
        for layer, value in ((self.gloss, gloss), (self.soft, soft), (self.height, height)):
            if value is not None:
                view = layer[rows, columns]
                view += alpha * (value - view)
        view = self.cover[rows, columns]
        np.maximum(view, alpha, out=view)

    @property
    def head(self) -> Window:
        """The rows and columns that the skin of the head can cover."""
        return self.window(-0.80, 0.80, -1.18, 1.10)

    def dim(self, where: Window, amount: np.ndarray) -> None:
        """Darken the color in a window by the fraction ``amount``, [h, w] or [3, h, w]."""
        self.albedo[:, where[0], where[1]] *= 1.0 - amount


def head_surface(identity: Identity, expression: Expression, scene: Scene, resolution: int) -> Surface:
    """Return the unpainted surface of a head in the pose of a scene, with ``resolution`` x ``resolution`` pixels."""
    pixel = 1.0 / (UNIT * scene.zoom * resolution)
    steps = ((np.arange(resolution) + 0.5 - resolution / 2) * pixel).astype(np.float32)
    x, y = np.meshgrid(steps - np.float32(scene.shift_x), steps - np.float32(scene.shift_y))
    roll = math.radians(scene.roll)
    x, y = x * math.cos(roll) + y * math.sin(roll), y * math.cos(roll) - x * math.sin(roll)
    yaw, pitch = math.radians(scene.yaw), math.radians(scene.pitch)
    sin_yaw, cos_yaw, sin_pitch, cos_pitch = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
    u, v = x, y
    for _ in range(4):
        h = _warp_heights(u, v)
        u = (x - h * sin_yaw) * (1 / cos_yaw)
        z = h * cos_yaw - u * sin_yaw
        v = (y - z * sin_pitch) * (1 / cos_pitch)
    radius, angle = cv2.cartToPolar(u, v)
    table = outline(identity, expression)[None, :]
    table = np.pad(table, ((0, 0), (1, 1)), mode="wrap")
    column = angle * (_OUTLINE_BINS / (2 * math.pi)) + 0.5
    rim = cv2.remap(table, column, np.zeros_like(column), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    rho2 = (radius / rim) ** 2
    return Surface(
        u, v, x, y, rho2, pixel, (sin_yaw, cos_yaw, sin_pitch, cos_pitch), (math.sin(roll), math.cos(roll)), scene
    )


def _warp_heights(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    bowl = np.maximum(0.58 - (0.58 / 0.76**2) * (u * u) - (0.58 / 1.06**2) * (v * v), -0.28)
    nose = (0.5 / 0.11**2) * (u * u) + (0.5 / 0.13**2) * ((v - 0.22) ** 2)
    return bowl + 0.16 * np.exp(-nose)


def outline(identity: Identity, expression: Expression) -> np.ndarray:
    """Return the radius of the head's outline by angle from +u toward +v, float32 [512]."""
    width = 1.0 + 0.045 * identity.head_width
    crown = 1.10 + 0.035 * identity.cranium
    chin = 1.0 + 0.03 * identity.chin + 0.085 * expression.jaw_drop
    jaw = 0.575 + 0.05 * identity.jaw
    points = [
        (0.0, -crown),
        (0.36 * width, -crown * 0.925),
        (0.60 * width, -0.76),
        (0.715 * width, -0.42),
        (0.735 * width + 0.012 * identity.cheekbones, -0.05),
        (0.70 * width + 0.02 * identity.cheekbones, 0.22),
        (jaw * width, 0.55 + 0.02 * identity.jaw),
        (0.315 + 0.05 * identity.jaw, 0.86 + 0.03 * identity.jaw + 0.06 * expression.jaw_drop),
        (0.17 + 0.025 * identity.jaw, chin - 0.025),
        (0.0, chin),
    ]
    angles = [math.atan2(v, u) for u, v in points]
    radii = [math.hypot(u, v) for u, v in points]
    theta = (np.arange(_OUTLINE_BINS) + 0.5) * (2 * np.pi / _OUTLINE_BINS)
    right = np.arctan2(np.sin(theta), np.abs(np.cos(theta)))
    lopsided = 1.0 + 0.008 * identity.asymmetry * np.sign(np.cos(theta)) * np.abs(np.cos(theta))
    return (_smooth_curve(np.array(angles), np.array(radii), right) * lopsided).astype(np.float32)


def _smooth_curve(knots: np.ndarray, values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Evaluate a cubic Hermite curve through the values, flat at both ends and with parabolic slopes in between."""
    step = np.diff(knots)
    secant = np.diff(values) / step
    slope = np.zeros_like(values)
    slope[1:-1] = (secant[:-1] * step[1:] + secant[1:] * step[:-1]) / (step[1:] + step[:-1])
    piece = np.clip(np.searchsorted(knots, where, side="right") - 1, 0, len(step) - 1)
    h = step[piece]
    t = (where - knots[piece]) / h
    rest = 1.0 - t
    ends = values[piece] * (1 + 2 * t) * rest**2 + values[piece + 1] * t**2 * (3 - 2 * t)
    return ends + h * t * rest * (slope[piece] * rest - slope[piece + 1] * t)


def dome(rho2: np.ndarray, depth: float = _DOME_DEPTH) -> np.ndarray:
    """Return the height of a head without features, flat in front, round at the sides and 0 beyond the outline."""
    return depth * np.sqrt(np.maximum(1.0 - rho2 * np.sqrt(rho2) * 0.55 - rho2 * 0.45, 0.0))


def rgb(color: tuple[float, float, float] | list[float]) -> np.ndarray:
    """Return a color as float32 [3, 1, 1]."""
    return np.array(color, np.float32).reshape(3, 1, 1)


def sample_noise(name: str, a: np.ndarray, b: np.ndarray, wavelength: float, offset: tuple[float, float]) -> np.ndarray:
    """Sample a noise pattern at the given positions.

    Args:
        name: ``grain``, ``cloud``, ``ridge`` or ``strand``.
        a: first coordinate of the positions, float32 of any shape.
        b: second coordinate, of the same shape.
        wavelength: wavelength of the main band, in the unit of the coordinates.
        offset: offset of the pattern from :func:`pattern_offset`.
    """
    # Wrapping the positions here is three times as fast as OpenCV's border wrapping.
    turns = _WAVELENGTH / wavelength / _TILE
    column = a * np.float32(turns) + np.float32(offset[0])
    row = b * np.float32(turns) + np.float32(offset[1])
    column -= np.floor(column)
    row -= np.floor(row)
    column *= _TILE
    row *= _TILE
    return cv2.remap(_tiles()[name], column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def pattern_offset(seed: int, number: int) -> tuple[float, float]:
    """Return the offset of the pattern with index ``number`` in a person's skin or hair, as fractions of a tile."""
    code = (seed * 2654435761 + number * 40503 * 65537 + 12345) & 0xFFFFFFFF
    code = ((code ^ (code >> 15)) * 2246822519) & 0xFFFFFFFF
    return (code & 0xFFFF) / 65536, (code >> 16) / 65536


@lru_cache(maxsize=1)
def _tiles() -> dict[str, np.ndarray]:
    """Return tiles of periodic noise, float32 [257, 257], with mean 0 and standard deviation 1, by name.

    The last row and column repeat the first. ``grain`` is one band of isotropic noise, and ``cloud`` is that band plus
    all lower frequencies. ``ridge`` is a net of fine lines, as in creased skin. ``strand`` is elongated along the
    second axis, like hair.
    """
    rng = np.random.default_rng(_SEED)
    fy = np.fft.fftfreq(_TILE)[:, None]
    fx = np.fft.rfftfreq(_TILE)[None, :]
    radius = np.hypot(fy, fx)
    center = 1.0 / _WAVELENGTH
    band = np.exp(-(((radius - center) / (0.45 * center)) ** 2))
    slow = 1.0 / (1.0 + (radius / (0.5 * center)) ** 2.4)
    along = np.exp(-((fy / (0.05 * center)) ** 2)) / (1.0 + (fx / (1.6 * center)) ** 2) * (fx > 0.15 * center)

    def filtered(gain: np.ndarray) -> np.ndarray:
        spectrum = np.fft.rfft2(rng.standard_normal((_TILE, _TILE))) * gain
        spectrum[0, 0] = 0
        image = np.fft.irfft2(spectrum, s=(_TILE, _TILE))
        return image / image.std()

    grain = filtered(band)
    ridge = -np.abs(filtered(band))
    made = {"grain": grain, "cloud": filtered(slow), "ridge": ridge - ridge.mean(), "strand": filtered(along)}
    return {name: np.pad(tile / tile.std(), (0, 1), mode="wrap").astype(np.float32) for name, tile in made.items()}
