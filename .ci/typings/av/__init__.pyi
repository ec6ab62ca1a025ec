# What is used of PyAV: its own annotations leave the codec of a packet open.
from fractions import Fraction
from typing import Any, Literal, overload

import numpy as np
from av.container import InputContainer, OutputContainer

class Packet:
    pts: int | None

    def __init__(self, data: bytes) -> None: ...
    def __bytes__(self) -> bytes: ...

class VideoFrame:
    @property
    def time(self) -> float: ...
    @staticmethod
    def from_ndarray(array: np.ndarray[Any, Any], format: str = ...) -> VideoFrame: ...
    def to_ndarray(self, format: str | None = None) -> np.ndarray[Any, Any]: ...

class VideoCodecContext:
    width: int
    height: int
    pix_fmt: str
    time_base: Fraction
    qmin: int
    qmax: int
    thread_count: int

    @staticmethod
    def create(codec: str, mode: Literal["r", "w"]) -> VideoCodecContext: ...
    def encode(self, frame: VideoFrame | None = None) -> list[Packet]: ...
    def decode(self, packet: Packet | None = None) -> list[VideoFrame]: ...

@overload
def open(file: str, mode: Literal["r"] = "r") -> InputContainer: ...
@overload
def open(file: str, mode: Literal["w"], format: str | None = None) -> OutputContainer: ...
