#!/usr/bin/python3
"""Verifies an export with nothing of ours: cbor2 for CBOR, cryptography for Ed25519, hashlib, and the documents.

Run by tests/e2e/demo.rs; by hand: /usr/bin/python3 stranger.py EXPORT (Debian's python3-cbor2, python3-cryptography).
Exit code 0 when the export is whole, 1 when not. Written from docs/formats/export.cddl, not from the code.
"""
import hashlib
import io
import sys

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

DOMAIN = b"aegis-export-v1"


def items(data):
    """The items of a CBOR sequence, each with its own bytes."""
    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        start = stream.tell()
        item = cbor2.CBORDecoder(stream).decode()
        yield item, data[start:stream.tell()]


def verify(data):
    found = list(items(data))
    manifest = cbor2.loads(found[-1][0].value[2])
    assert manifest[0] == "manifest" and manifest[1] == 1
    public = manifest[4]
    assert manifest[2] == hashlib.sha256(public).digest()[:16]
    key, kid = Ed25519PublicKey.from_public_bytes(public), hashlib.sha256(public).digest()[:8]
    head, sequence, kinds = manifest[11], manifest[7], {}
    for index, (item, raw) in enumerate(found):
        assert item.tag == 18
        protected, unprotected, payload, signature = item.value
        assert protected == cbor2.dumps({1: -8, 4: kid}) and dict(unprotected) == {}
        key.verify(signature, cbor2.dumps(["Signature1", protected, DOMAIN, payload]))
        assert cbor2.dumps(cbor2.loads(payload), canonical=True) == payload
        if index == len(found) - 1:
            break
        segment = cbor2.loads(payload)
        assert segment[0] == "segment" and segment[1] == 1
        assert segment[2] == manifest[2] and segment[3] == manifest[3]
        assert segment[5] == sequence and segment[6] == head
        for event in segment[7]:
            head = hashlib.sha256(head + sequence.to_bytes(8, "big") + event).digest()
            kind = cbor2.loads(event)[0]
            kinds[kind] = kinds.get(kind, 0) + 1
            sequence += 1
        assert segment[8] == head
    assert manifest[12] == head
    assert manifest[9] == sum(kinds.values()) and manifest[10] == len(found) - 1
    if kinds:
        assert manifest[8] == sequence - 1
    if manifest[7] == 1:
        assert manifest[11] == hashlib.sha256(manifest[3]).digest()
    assert manifest[19] == hashlib.sha256(b"".join(raw for _, raw in found[:-1])).digest()
    return kinds


if __name__ == "__main__":
    try:
        print("whole; events by kind number:", verify(open(sys.argv[1], "rb").read()))
    except Exception as error:  # whatever is wrong, it is not whole
        sys.exit(f"not whole: {error!r}")
