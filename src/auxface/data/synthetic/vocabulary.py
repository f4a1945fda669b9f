"""The words a synthetic face is described with: emotions, attributes, skin tones, age groups."""

EMOTIONS: tuple[str, ...] = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")

# CelebA's names (Liu et al., 2015), for what the renderer really draws.
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

# The Monk Skin Tone scale (Monk, 2019), sRGB.
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
HAIR_COLOURS: tuple[str, ...] = ("black", "dark_brown", "brown", "auburn", "blond", "gray")
IRIS_COLOURS: tuple[str, ...] = ("brown", "dark_brown", "hazel", "green", "blue", "gray")
BEARDS: tuple[str, ...] = ("none", "stubble", "mustache", "goatee", "full")
GLASSES: tuple[str, ...] = ("none", "round", "square", "thin")
HATS: tuple[str, ...] = ("none", "beanie", "cap")
REGIONS: tuple[str, ...] = ("face", "eyes", "mouth")
