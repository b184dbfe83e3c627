"""The name under which our pictures say what program made them."""

from __future__ import annotations

VERSION = "0.1.0"
"""the package's own; written here since rooms import no room above them, and kept by a test"""

PROGRAM = f"Sfumato {VERSION}"
"""A1111 applies its rules for old versions to names such as "v1.5.0" alone"""
