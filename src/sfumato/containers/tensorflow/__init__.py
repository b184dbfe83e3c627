"""TensorFlow checkpoints: sorted tables of names, with the numbers beside them or inside them."""

from sfumato.containers.tensorflow.bundle import checkpoint_prefix as checkpoint_prefix
from sfumato.containers.tensorflow.bundle import read_tensorflow_v2 as read_tensorflow_v2
from sfumato.containers.tensorflow.version1 import read_tensorflow_v1 as read_tensorflow_v1
