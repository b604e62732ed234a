"""What Megatron writes for TensorBoard, on its last rank: an event file a launch, one record an iteration."""

import os
import socket
import struct
import time
from pathlib import Path


class Curves:
    """Scalars in TensorFlow's event format (records with CRC32C around messages of `event.proto`)."""

    def __init__(self, directory: str) -> None:
        Path(directory).mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.0"
        self.file = (Path(directory) / name).open("wb", buffering=0)
        self.write(text(3, b"brain.Event:2"))

    def add(self, iteration: int, scalars: dict[str, float]) -> None:
        values = [text(1, tag.encode()) + b"\x15" + struct.pack("<f", value) for tag, value in scalars.items()]
        summary = b"".join(text(1, value) for value in values)
        self.write(b"\x10" + varint(iteration) + text(5, summary))

    def write(self, event: bytes) -> None:
        event = b"\x09" + struct.pack("<d", time.time()) + event
        length = struct.pack("<Q", len(event))
        try:
            self.file.write(length + masked(length) + event + masked(event))
        except OSError as error:  # a full disk takes curves, not the training
            print(f"curves lack a record: {error}", flush=True)


def text(field: int, value: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
