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

EXPORT, SEAL = b"aegis-export-v1", b"aegis-seal-v1"


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def items(data):
    """The items of a CBOR sequence, each with its own bytes."""
    stream = io.BytesIO(data)
    while stream.tell() < len(data):
        start = stream.tell()
        item = cbor2.CBORDecoder(stream).decode()
        yield item, data[start:stream.tell()]


def signed(item, public, domain):
    """The payload of a COSE_Sign1 by this key."""
    assert item.tag == 18
    protected, unprotected, payload, signature = item.value
    assert protected == cbor2.dumps({1: -8, 4: sha256(public)[:8]}) and dict(unprotected) == {}
    key = Ed25519PublicKey.from_public_bytes(public)
    key.verify(signature, cbor2.dumps(["Signature1", protected, domain, payload]))
    found = cbor2.loads(payload)
    assert cbor2.dumps(found, canonical=True) == payload
    return found


def root(leaves):
    """RFC 6962, section 2.1."""
    if not leaves:
        return sha256()
    if len(leaves) == 1:
        return sha256(b"\0", leaves[0])
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1", root(leaves[:half]), root(leaves[half:]))


class Trees:
    """The Merkle trees of the ring's segments, as far as this export has all their events."""

    def __init__(self):
        self.place, self.first, self.heads, self.whole = None, None, [], False
        self.closed, self.closed_first, self.compared = None, None, 0

    def close(self, number, sequence):
        """The events go on in segment `number`, with this sequence."""
        if self.closed is not None and self.whole:
            for n in range(self.place, number):
                leaves, first = (self.heads, self.first) if n == self.place else ([], sequence)
                numbers = b"".join(v.to_bytes(8, "big") for v in (n, first, len(leaves)))
                self.closed.append(numbers + root(leaves))
        else:
            self.closed = None
        self.place, self.first, self.heads, self.whole = number, sequence, [], True

    def segment(self, number, sequence):
        if number is None:
            self.__init__()
        elif self.place is None:
            self.place, self.first, self.heads, self.whole = number, sequence, [], sequence == 1
        elif number != self.place:
            self.close(number, sequence)

    def checkpoint(self, cp):
        number, first, count, head = cp[11]
        if self.place is not None and self.place < number:
            self.close(number, cp[9] + 1)
        if self.place is None:
            self.place, self.first, self.heads, self.whole = number, first, [], count == 0
        assert self.place == number
        if self.whole:
            assert (first, count, head) == (self.first, len(self.heads), root(self.heads))
            self.compared += 1
        if self.closed is not None and self.closed_first == cp[12][0] and cp[12][2] is not None:
            assert cp[12][1:] == [len(self.closed), root(self.closed)]
            self.compared += 1
        self.closed, self.closed_first = [], number


def verify(data):
    found = list(items(data))
    manifest = cbor2.loads(found[-1][0].value[2])
    public = manifest[4]
    device = sha256(public)[:16]
    head, sequence, kinds, segments = manifest[11], manifest[7], {}, 0
    # Sequence and head at this place; before the first event those of the one before it.
    at = (manifest[7] or max(manifest[5], manifest[13], 1)) - 1
    chain, sealed, trees, certificates = None, [0, None, None, None], Trees(), []
    # What could not be read from the ring, policies accepted, the boot of the last checkpoint and those since.
    gaps, policies, boot, boots = dict(manifest[18]), [], None, set()
    accounted = manifest[9] + sum(last - first + 1 for first, last in manifest[18])
    for index, (item, raw) in enumerate(found):
        kind = cbor2.loads(item.value[2])[0]
        assert (kind == "manifest") == (index == len(found) - 1)
        if kind == "manifest":
            assert signed(item, public, EXPORT) == manifest and manifest[1] == 2
        elif kind == "sealing-key":
            certificate = signed(item, public, SEAL)
            assert certificate[1] == 1 and certificate[3] == manifest[3]
            assert certificate[2] == device and certificate[7] == public
            certificates.append((certificate, raw))
        elif kind == "checkpoint":
            cp = signed(item, cbor2.loads(item.value[2])[6], SEAL)
            assert cp[1] == 1 and cp[2] == device and cp[3] == manifest[3]
            for certificate, record in certificates:
                # A chain that begins in this export; one with a record before it began anew, which is for people to judge.
                if certificate[5] == cp[5] and certificate[6] == cp[6] and certificate[8] is None:
                    chain = (cp[5], certificate[6], sha256(record))
            if chain is not None:
                assert chain == (cp[5], cp[6], cp[8])
            chain = (cp[5] + 1, cp[7], sha256(raw))
            # In front of a gap it may seal more than there is.
            assert cp[9] == at and (head is None or cp[10] == head) or cp[9] > at and at + 1 in gaps
            # What stands between two checkpoints of one boot is of that boot.
            assert boot != cp[4] or boots <= {boot}
            boot, boots = cp[4], set()
            trees.checkpoint(cp)
            sealed = [sealed[0] + 1, cp[5], sha256(raw), cp[7]]
        else:
            segment = signed(item, public, EXPORT)
            assert segment[0] == "segment" and segment[1] == 2
            assert segment[2] == device and segment[3] == manifest[3]
            first = gaps.get(sequence, sequence - 1) + 1
            if first != sequence:
                # The chain is not known across a gap.
                sequence, head, trees = first, segment[6], Trees()
            assert segment[5] == sequence and segment[6] == head
            boots.add(segment[4])
            trees.segment(segment[9], sequence)
            for event in segment[7]:
                head = sha256(head, sequence.to_bytes(8, "big"), event)
                trees.heads.append(head)
                fields = cbor2.loads(event)
                assert cbor2.dumps(fields, canonical=True) == event
                kinds[fields[0]] = kinds.get(fields[0], 0) + 1
                if fields[0] == 32 and fields[22] == "accepted":
                    policies.append([fields[23], fields[24], fields[25]])
                sequence += 1
            assert segment[8] == head
            at, segments = sequence - 1, segments + 1
    assert manifest[2] == device
    assert manifest[12] == head
    assert manifest[9] == sum(kinds.values()) and manifest[10] == segments
    if kinds:
        assert manifest[8] == sequence - 1
    if manifest[7] == 1:
        assert manifest[11] == sha256(manifest[3])
    assert manifest[19] == sha256(*(raw for _, raw in found[:-1]))
    # The last policies that were accepted, each once.
    last = [policy for n, policy in enumerate(policies) if policy not in policies[n + 1:]][-16:]
    assert manifest[20][1:] == [len(policies), last]
    if manifest[15] == 0:
        begin = max(manifest[5], manifest[13], 1)
        end = min(manifest[14], manifest[6] + 1) if manifest[6] else manifest[14]
        assert accounted == max(begin, end) - begin
    assert manifest[21] == (sealed if sealed[0] else None)
    return kinds, sealed[0], trees.compared


if __name__ == "__main__":
    try:
        kinds, checkpoints, roots = verify(open(sys.argv[1], "rb").read())
    except Exception as error:  # whatever is wrong, it is not whole
        sys.exit(f"not whole: {error!r}")
    print("whole; events by kind number:", kinds)
    print(f"checkpoints: {checkpoints}; Merkle roots compared: {roots}")
