#!/usr/bin/env python3
"""Signs what Aegis signs, and shares no code with it: docs/formats/bundle.md and bundle.cddl, with a command line.

    signer.py bundle SEED[,SEED…] COMPILED_POLICY POLICY_TOML SEQUENCE OUT
    signer.py root   SEED[,SEED…] ROOT_JSON OUT          ROOT_JSON as `aegisctl keys show --json` prints it
    signer.py token  SEED[,SEED…] TOKEN_JSON OUT         TOKEN_JSON as `aegisctl break-glass show --json` prints it
    signer.py armor  TOKEN                               the lines for the console
    signer.py age    encrypt|decrypt PASSPHRASE IN OUT   a key file, by https://age-encryption.org/v1

SEED: 64 hex digits, the `secret:` of a key file. Needs cbor2 and cryptography.
"""
import base64, hashlib, hmac, json, os, struct, sys, cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def dumps(value):
    return cbor2.dumps(value, canonical=True)


def cose_sign(seeds, aad, payload, detached):
    signers = []
    for seed in seeds:
        key = Ed25519PrivateKey.from_private_bytes(seed)
        public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        protected = dumps({1: -8, 4: hashlib.sha256(public).digest()[:8]})
        signed = dumps(["Signature", b"", protected, aad, payload])
        signers.append([protected, {}, key.sign(signed)])
    return dumps(cbor2.CBORTag(98, [b"", {}, None if detached else payload, signers]))


def bundle(seeds, policy, source, epoch, sequence, created, ceiling):
    listed = lambda name, data: [name, len(data), hashlib.sha256(data).digest()]
    manifest = dumps({
        1: "aegis", 2: 1, 3: epoch, 4: sequence, 5: created, 6: None,
        7: {1: "any", 2: "any", 3: "any", 4: "any", 5: "any"}, 8: ceiling,
        9: [listed("policy", policy), listed("policy.toml", source)], 10: "", 11: False,
    })
    signatures = cose_sign(seeds, b"aegis-bundle-v1", manifest, detached=True)
    contents = policy + source
    header = struct.pack("<8sHHIQII32x", b"AEGISBDL", 1, 64, len(manifest),
                         64 + len(manifest) + len(signatures) + len(contents), len(signatures), len(contents))
    return header + manifest + signatures + contents


def root(seeds, version, epoch, roles, revoked, revoked_keys):
    """roles: (threshold, [public key…]) or None, by "root", "policy", "break-glass", "image" and "workload", which is left out when it is nobody's."""
    role = lambda role: None if role is None else {1: role[0], 2: sorted(role[1])}
    payload = dumps({
        1: 2, 2: version, 3: epoch,
        4: {1: role(roles["root"]), 2: role(roles["policy"]), 3: role(roles["break-glass"]), 4: role(roles["image"]),
            **({5: role(roles["workload"])} if roles.get("workload") else {})},
        5: sorted(revoked), 6: sorted(revoked_keys),
    })
    return cose_sign(seeds, b"aegis-root-v1", payload, detached=False)


def token(seeds, device, sequence, bound, seconds, reason, created):
    payload = dumps({1: 1, 2: device, 3: sequence, 4: bound, 5: seconds, 6: reason, 7: created})
    return cose_sign(seeds, b"aegis-break-glass-v1", payload, detached=False)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def armor(data):
    base32 = lambda data: base64.b32encode(data).decode().rstrip("=")
    for number, at in enumerate(range(0, len(data), 20), 1):
        chunk = data[at:at + 20]
        text = base32(chunk)
        check = base32(struct.pack(">I", crc32c(bytes([number]) + chunk)))[:4]
        groups = [text[at:at + 4] for at in range(0, len(text), 4)]
        yield f"{number % 100:02} {' '.join(groups)} {check}"


AGE = "-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----"


def age_keys(passphrase, salt, factor):
    wrap = hashlib.scrypt(passphrase, salt=b"age-encryption.org/v1/scrypt" + salt, n=1 << factor, r=8, p=1,
                          maxmem=1 << (factor + 11), dklen=32)
    expand = lambda key, salt, info: HKDF(hashes.SHA256(), 32, salt, info).derive(key)
    return ChaCha20Poly1305(wrap), expand


def age_encrypt(passphrase, plain, factor=10):
    unpadded = lambda data: base64.b64encode(data).rstrip(b"=")
    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrap, expand = age_keys(passphrase, salt, factor)
    header = b"age-encryption.org/v1\n-> scrypt %s %d\n%s\n---" % (
        unpadded(salt), factor, unpadded(wrap.encrypt(bytes(12), file_key, None)))
    mac = hmac.digest(expand(file_key, b"", b"header"), header, "sha256")
    chunk = ChaCha20Poly1305(expand(file_key, nonce, b"payload")).encrypt(bytes(11) + b"\1", plain, None)
    text = base64.b64encode(header + b" " + unpadded(mac) + b"\n" + nonce + chunk).decode()
    return "\n".join([AGE[0], *(text[at:at + 64] for at in range(0, len(text), 64)), AGE[1], ""]).encode()


def age_decrypt(passphrase, text):
    lines = text.decode().split()
    assert " ".join(lines[:4]) == AGE[0] and " ".join(lines[-4:]) == AGE[1]
    data = base64.b64decode("".join(lines[4:-4]))
    version, stanza, body, rest = data.split(b"\n", 3)
    arrow, kind, salt, factor = stanza.split()
    assert (version, arrow, kind) == (b"age-encryption.org/v1", b"->", b"scrypt")
    padded = lambda text: base64.b64decode(text + b"=" * (-len(text) % 4))
    wrap, expand = age_keys(passphrase, padded(salt), int(factor))
    file_key = wrap.decrypt(bytes(12), padded(body), None)
    mac, payload = rest[4:].split(b"\n", 1)
    header = b"\n".join([version, stanza, body, b"---"])
    assert padded(mac) == hmac.digest(expand(file_key, b"", b"header"), header, "sha256")
    nonce, chunk = payload[:16], payload[16:]
    return ChaCha20Poly1305(expand(file_key, nonce, b"payload")).decrypt(bytes(11) + b"\1", chunk, None)


def main(what, *arguments):
    read = lambda path: open(path, "rb").read()
    seeds = lambda text: [bytes.fromhex(seed) for seed in text.split(",")]
    if what == "bundle":
        keys, policy, source, sequence, out = arguments
        data = bundle(seeds(keys), read(policy), read(source), 1, int(sequence), 1_800_000_000, 1)
    elif what == "root":
        keys, described, out = arguments
        said = json.loads(read(described))
        many = lambda items: [bytes.fromhex(item) for item in items]
        roles = {name: role and (role["threshold"], many(key["public"] for key in role["keys"]))
                 for name, role in said["roles"].items()}
        data = root(seeds(keys), said["version"], said["epoch"], roles, many(said["revoked"]), many(said["revoked_keys"]))
    elif what == "token":
        keys, described, out = arguments
        said = json.loads(read(described))
        data = token(seeds(keys), bytes.fromhex(said["device"]), said["sequence"], bytes.fromhex(said["bound"]),
                     said["seconds"], said["reason"], said["created"])
    elif what == "armor":
        print("\n".join(armor(read(arguments[0]))))
        return
    elif what == "age":
        way, passphrase, source, out = arguments
        data = (age_encrypt if way == "encrypt" else age_decrypt)(passphrase.encode(), read(source))
    else:
        sys.exit(__doc__)
    with open(out, "wb") as file:
        file.write(data)


if __name__ == "__main__":
    main(*sys.argv[1:])
