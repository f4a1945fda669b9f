"""The description of a synthetic face: person, expression, clothes, accessories and scene.

Traits without a unit are standardized: 0 is the average face, -1 and 1 are strong but common, and values beyond 1.5
look like a caricature. Left and right refer to the image, not to the person. Angles are in degrees. Colors are linear
RGB. The possible names of emotions, attributes, skin tones and so on are listed at the end of the module.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Identity:
    """A person: all traits that are the same in each of the person's images."""

    skin_tone: str = "monk_05"
    age_group: str = "young"
    texture: int = 0
    """Seed of the skin, which determines the positions of freckles, moles, pores and blotches."""
    undertone: float = 0.0
    freckles: float = 0.0
    """Amount of freckles, from 0 (none) to 1 (many)."""
    head_width: float = 0.0
    cranium: float = 0.0
    jaw: float = 0.0
    chin: float = 0.0
    cheekbones: float = 0.0
    brow_ridge: float = 0.0
    eye_spacing: float = 0.0
    eye_size: float = 0.0
    eye_tilt: float = 0.0
    eye_depth: float = 0.0
    eye_roundness: float = 0.0
    lid_fold: float = 0.0
    lashes: float = 0.0
    iris: str = "brown"
    brow_thickness: float = 0.0
    brow_height: float = 0.0
    brow_arch: float = 0.0
    nose_width: float = 0.0
    nose_length: float = 0.0
    nose_bridge: float = 0.0
    nose_tip: float = 0.0
    mouth_width: float = 0.0
    mouth_height: float = 0.0
    lip_fullness: float = 0.0
    ear_size: float = 0.0
    asymmetry: float = 0.0
    hair_style: str = "short"
    hair_color: str = "brown"
    hair_volume: float = 0.0
    hair_waves: float = 0.0
    """Waviness of the hair, from 0 (straight) to 1 (wavy)."""
    hairline: float = 0.0
    hair_part: float = 0.0
    bangs: bool = False
    beard: str = "none"


@dataclass(frozen=True)
class Expression:
    """An expression, as intensities (0 at rest, 1 full) that resemble FACS action units (Ekman and Friesen, 1978)."""

    brow_inner: float = 0.0
    """Raising of the inner brows (AU1); negative values lower them."""
    brow_outer_left: float = 0.0
    brow_outer_right: float = 0.0
    """Raising of the outer brow (AU2); negative values lower it."""
    brow_pinch: float = 0.0
    """Drawing together of the brows (AU4)."""
    lid_open: float = 0.0
    """Raising of the upper lid (AU5); negative values lower it, and -1 closes the eye."""
    lid_tight: float = 0.0
    """Raising of the lower lid (AU7)."""
    cheek_raise: float = 0.0
    """Raising of the cheeks (AU6)."""
    nose_wrinkle: float = 0.0
    """Wrinkling of the nose (AU9)."""
    lip_raise: float = 0.0
    """Raising of the upper lip (AU10)."""
    corner_left: float = 0.0
    corner_right: float = 0.0
    """Pulling up of the lip corner (AU12); negative values pull it down (AU15)."""
    mouth_stretch: float = 0.0
    """Widening of the mouth (AU20); negative values round it."""
    lip_press: float = 0.0
    """Thinning of the lips (AU23, AU24)."""
    mouth_open: float = 0.0
    """Parting of the lips (AU25)."""
    jaw_drop: float = 0.0
    """Dropping of the jaw (AU26)."""
    gaze_x: float = 0.0
    gaze_y: float = 0.0


@dataclass(frozen=True)
class Style:
    """Glasses, hat, makeup, jewelry and clothes."""

    glasses: str = "none"
    glasses_color: tuple[float, float, float] = (0.02, 0.02, 0.02)
    hat: str = "none"
    hat_color: tuple[float, float, float] = (0.1, 0.12, 0.2)
    lipstick: tuple[float, float, float] | None = None
    """Color of the lipstick, or None for no lipstick."""
    earrings: bool = False
    clothes: tuple[float, float, float] = (0.15, 0.18, 0.25)


@dataclass(frozen=True)
class Scene:
    """Pose, light, background and camera."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    zoom: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.05
    """Horizontal and vertical shifts of the face in face units; half the height of a face is about 1."""
    light_x: float = -0.45
    light_y: float = -0.45
    """Horizontal and vertical position of the key light, from -1 (far left or high) to 1 (far right or low)."""
    light_ambient: float = 0.32
    light_warmth: float = 0.0
    exposure: float = 1.0
    background: int = 0
    noise: float = 0.006
    noise_seed: int = 0


@dataclass(frozen=True)
class Forgery:
    """A face region that is replaced with the same region of another person in the same pose, light and expression."""

    donor: Identity
    region: str = "face"
    color: tuple[float, float, float] = (1.05, 1.0, 0.96)
    """Gain of each color channel of the donor; 1 leaves the color unchanged."""
    softness: float = 1.6
    """Factor by which the donor's resolution is reduced."""
    seam: float = 0.05
    """Width of the blended border in face units."""
    shape: int = 0
    """Seed of the outline of the region."""


@dataclass(frozen=True)
class FaceDescription:
    """The complete description from which :func:`~auxface.data.synthetic.render_face` renders one image."""

    identity: Identity = field(default_factory=Identity)
    expression: Expression = field(default_factory=Expression)
    style: Style = field(default_factory=Style)
    scene: Scene = field(default_factory=Scene)
    forgery: Forgery | None = None


EMOTIONS: tuple[str, ...] = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")

# The attributes of CelebA (Liu et al., 2015) that the renderer can draw.
ATTRIBUTES: tuple[str, ...] = (
    "Bald",
    "Bangs",
    "Big_Lips",
    "Big_Nose",
    "Black_Hair",
    "Blond_Hair",
    "Brown_Hair",
    "Bushy_Eyebrows",
    "Eyeglasses",
    "Goatee",
    "Gray_Hair",
    "Mouth_Slightly_Open",
    "Mustache",
    "No_Beard",
    "Smiling",
    "Wavy_Hair",
    "Wearing_Earrings",
    "Wearing_Hat",
    "Wearing_Lipstick",
    "Young",
)

# The Monk Skin Tone scale (Monk, 2019), in sRGB.
MONK_HEX: dict[str, str] = {
    "monk_01": "#f6ede4",
    "monk_02": "#f3e7db",
    "monk_03": "#f7ead0",
    "monk_04": "#eadaba",
    "monk_05": "#d7bd96",
    "monk_06": "#a07e56",
    "monk_07": "#825c43",
    "monk_08": "#604134",
    "monk_09": "#3a312a",
    "monk_10": "#292420",
}
SKIN_TONES: tuple[str, ...] = tuple(MONK_HEX)

AGE_GROUPS: tuple[str, ...] = ("young", "middle_aged", "senior")

HAIR_STYLES: tuple[str, ...] = ("bald", "buzz", "short", "side_part", "curly", "medium", "long", "tied")
HAIR_COLORS: tuple[str, ...] = ("black", "dark_brown", "brown", "auburn", "blond", "gray")
IRIS_COLORS: tuple[str, ...] = ("brown", "dark_brown", "hazel", "green", "blue", "gray")
BEARDS: tuple[str, ...] = ("none", "stubble", "mustache", "goatee", "full")
GLASSES: tuple[str, ...] = ("none", "round", "square", "thin")
HATS: tuple[str, ...] = ("none", "beanie", "cap")
REGIONS: tuple[str, ...] = ("face", "eyes", "mouth")
