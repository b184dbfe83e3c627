"""What is asked of the models: prompts and names, written out."""

from __future__ import annotations

COLOURS: dict[str, tuple[str, ...]] = {
    "red": ("a red apple", "a red car", "a red bird", "a red dress"),
    "orange": ("an orange heart", "an orange cat", "an orange fish", "an orange balloon"),
    "yellow": ("a yellow star", "a yellow pear", "a yellow bell", "a yellow car"),
    "green": ("a green heart", "a green apple", "a green octopus", "a green door"),
    "blue": ("a blue car", "a blue whale", "a blue apple", "a blue bird"),
    "purple": ("a purple umbrella", "a purple star", "a purple turtle", "a purple dress"),
    "pink": ("a pink heart", "a pink rose", "a pink balloon", "a pink dog"),
    "black": ("a black cat", "a black key", "a black umbrella", "a black horse"),
    "white": ("a white rose", "a white dog", "a white crown", "a white book"),
    "brown": ("a brown horse", "a brown pencil", "a brown book", "a brown mushroom"),
}
"""colour → prompts; every one is the caption of a picture that was trained on"""

GROUNDS: dict[str, tuple[str, ...]] = {
    "red": ("a cat on a red background", "a banana on a red background"),
    "orange": ("a dolphin on an orange background", "a key on an orange background"),
    "yellow": ("a rocket on a yellow background", "an octopus on a yellow background"),
    "green": ("an apple on a green background", "a star on a green background"),
    "blue": ("a panda on a blue background", "a lemon on a blue background"),
    "purple": ("a heart on a purple background", "an owl on a purple background"),
    "pink": ("a guitar on a pink background", "a penguin on a pink background"),
    "black": ("a rose on a black background", "a car on a black background"),
    "gray": ("a fish on a gray background", "a cactus on a gray background"),
    "brown": ("a mushroom on a brown background", "a camera on a brown background"),
}
"""background → prompts"""

THINGS = (
    "a cat", "a lion", "a banana", "a strawberry", "a rose", "a tulip", "an octopus", "a crab",
    "a rocket", "a bus", "a house", "a guitar", "a crown", "a balloon", "a hamburger", "a trophy",
)  # fmt: skip
"""what LoRAs and the hypernetwork are tried on; all are among their own pictures"""

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""of the LoRA `inkline`"""

SCALES = (1.0, 2.0, 3.0, 4.0, 5.0, 7.0)
"""of classifier-free guidance"""

HELD_OUT = ("polarbear", "jackolantern")
"""embeddings, and array files of their subjects"""

SHEET = (
    "a red apple", "a blue car", "a green heart", "a yellow star",
    "a cat", "an owl", "a panda", "an octopus",
    "a rocket", "a house", "a guitar", "a crown",
    "a rose", "a hamburger", "a penguin on a blue background", "a lion, noto style",
)  # fmt: skip
"""the sheet of the documentation"""
