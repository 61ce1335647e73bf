#!/usr/bin/env python3
"""A bundle signer that shares no code with Aegis: docs/formats/bundle.md, with a command line.

    signer.py SEED_HEX COMPILED_POLICY POLICY_TOML SEQUENCE OUT

Needs cbor2 and cryptography.
"""
import hashlib, struct, sys, cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def bundle(seeds, policy, source, epoch, sequence, created, ceiling):
    dumps = lambda value: cbor2.dumps(value, canonical=True)
    listed = lambda name, data: [name, len(data), hashlib.sha256(data).digest()]
    manifest = dumps({
        1: "aegis", 2: 1, 3: epoch, 4: sequence, 5: created, 6: None,
        7: {1: "any", 2: "any", 3: "any"}, 8: ceiling,
        9: [listed("policy", policy), listed("policy.toml", source)], 10: "",
    })
    signers = []
    for seed in seeds:
        key = Ed25519PrivateKey.from_private_bytes(seed)
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        protected = dumps({1: -8, 4: hashlib.sha256(public).digest()[:8]})
        signed = dumps(["Signature", b"", protected, b"aegis-bundle-v1", manifest])
        signers.append([protected, {}, key.sign(signed)])
    signatures = dumps(cbor2.CBORTag(98, [b"", {}, None, signers]))
    contents = policy + source
    header = struct.pack("<8sHHIQII32x", b"AEGISBDL", 1, 64, len(manifest),
                         64 + len(manifest) + len(signatures) + len(contents), len(signatures), len(contents))
    return header + manifest + signatures + contents


if __name__ == "__main__":
    seed, policy, source, sequence, out = sys.argv[1:]
    with open(policy, "rb") as policy, open(source, "rb") as source, open(out, "wb") as out:
        out.write(bundle([bytes.fromhex(seed)], policy.read(), source.read(), 1, int(sequence), 1_800_000_000, 1))
