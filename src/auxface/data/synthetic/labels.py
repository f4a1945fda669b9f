"""Labels read off a description: what is drawn is what is said."""

from auxface.data.synthetic.description import FaceDescription

SMILE = 0.35
"""Mean lift of both lip corners from which a face counts as smiling."""
_OPEN = 0.30
_BIG = 0.75


def attributes_of(face: FaceDescription) -> dict[str, int]:
    """0/1 for every name of `ATTRIBUTES`. What a hat or baldness hides counts as absent."""
    person, doing, worn = face.identity, face.expression, face.style
    bald = person.hair_style == "bald"
    hat = worn.hat != "none"
    colour = "none" if bald else person.hair_colour
    said = {
        "Bald": bald and not hat,
        "Bangs": person.bangs and not hat and not bald,
        "Big_Lips": person.lip_fullness > _BIG,
        "Big_Nose": person.nose_width > _BIG,
        "Black_Hair": colour == "black",
        "Blond_Hair": colour == "blond",
        "Brown_Hair": colour in ("brown", "dark_brown"),
        "Bushy_Eyebrows": person.brow_thickness > _BIG,
        "Eyeglasses": worn.glasses != "none",
        "Goatee": person.beard == "goatee",
        "Gray_Hair": colour == "gray",
        "Mouth_Slightly_Open": doing.mouth_open + doing.jaw_drop > _OPEN,
        "Mustache": person.beard in ("mustache", "goatee", "full"),
        "No_Beard": person.beard == "none",
        "Smiling": 0.5 * (doing.corner_left + doing.corner_right) >= SMILE,
        "Wavy_Hair": not bald
        and (person.hair_style == "curly" or (person.hair_style in ("long", "medium") and person.hair_waves > 0.05)),
        "Wearing_Earrings": worn.earrings,
        "Wearing_Hat": hat,
        "Wearing_Lipstick": worn.lipstick is not None,
        "Young": person.age_group == "young",
    }
    return {name: int(value) for name, value in said.items()}
