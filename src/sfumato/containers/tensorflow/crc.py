"""CRC-32C (Castagnoli), and the masked form of it that TensorFlow stores."""

from __future__ import annotations

from functools import cache

from sfumato.containers.tensor import Buffer

POLYNOMIAL = 0x82F63B78
"""bits reversed"""


@cache
def _table() -> tuple[int, ...]:
    table: list[int] = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


def crc32c(data: Buffer) -> int:
    """The checksum of some bytes; slow, at some megabytes per second."""
    table, value = _table(), 0xFFFFFFFF
    for byte in memoryview(data):
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """A checksum as it is stored: turned and shifted, since data may hold checksums itself."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
