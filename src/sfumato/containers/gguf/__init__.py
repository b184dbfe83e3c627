"""GGUF, the container of ggml: metadata, then tensors that may be quantised in blocks."""

from sfumato.containers.gguf.read import read_gguf as read_gguf
from sfumato.containers.gguf.write import plan_gguf as plan_gguf
