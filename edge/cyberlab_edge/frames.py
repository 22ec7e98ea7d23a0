"""The uplink's messages: what a device sends over its WebSocket, and what the gateway answers.

A binary message is a batch: one line of JSON (`seq`, `token`), a newline, and line protocol packed with zlib
(RFC 1950). A text message is the answer to the batch of that `seq`: one JSON object. A device has at most one batch
of a sender unanswered, so points arrive in their order; batches of several senders travel side by side.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass

from cyberlab_edge.answers import Answer, Verdict

PATH = "/api/v1/uplink"
BODY_BYTES = 1_000_000
"""Unpacked line protocol of one batch, at most."""
BODY_LINES = 20_000
"""Points of one batch, at most: each may be refused with a reason of its own."""
FRAME_BYTES = BODY_BYTES + 4096
"""One message, at most: text that cannot be packed, and its head."""
REASONS = 20
"""Refused lines whose reason is told; of the others only the number."""


class BadFrame(ValueError):
    """The message is none of ours; the text says why."""


@dataclass(frozen=True)
class Frame:
    seq: int
    token: str
    """Whose points these are; empty: the device's own."""
    body: bytes

    def pack(self) -> bytes:
        head = json.dumps({"seq": self.seq, "token": self.token}).encode()
        return head + b"\n" + zlib.compress(self.body, 1)


def unpack(message: bytes) -> Frame:
    """Raises: BadFrame."""
    head, found, packed = message.partition(b"\n")
    try:
        said = json.loads(head)
        seq, token = said["seq"], said["token"]
    except (ValueError, TypeError, KeyError) as error:
        raise BadFrame("the head is no JSON with seq and token") from error
    if not found or isinstance(seq, bool) or not isinstance(seq, int) or not isinstance(token, str):
        raise BadFrame("the head is no JSON with seq and token")
    reader = zlib.decompressobj()
    try:
        body = reader.decompress(packed, BODY_BYTES + 1)
    except zlib.error as error:
        raise BadFrame(f"the batch cannot be unpacked: {error}") from error
    if len(body) > BODY_BYTES:
        raise BadFrame(f"a batch has at most {BODY_BYTES} bytes")
    if not reader.eof or reader.unused_data:
        raise BadFrame("the batch is cut off, or something follows it")
    return Frame(seq, token, body)


def pack_answer(seq: int, answer: Answer) -> str:
    told = {"seq": seq, "verdict": answer.verdict.value, "reason": answer.reason, "wait": answer.wait}
    return json.dumps({**told, "lost": answer.lost, "refused": answer.refused[:REASONS]})


def unpack_answer(message: str | bytes) -> tuple[int, Answer]:
    """Raises: BadFrame."""
    try:
        said = json.loads(message)
        refused = tuple(str(reason) for reason in said["refused"])
        wait = None if said["wait"] is None else float(said["wait"])
        verdict, lost = Verdict(said["verdict"]), int(said["lost"])
        return int(said["seq"]), Answer(verdict, str(said["reason"]), refused, wait, lost)
    except (ValueError, TypeError, KeyError) as error:
        raise BadFrame(f"the gateway's answer is not understood: {error}") from error
