#!/usr/bin/env python3
"""Opens a file sealed by pg321 without pg321: unseal.py -i IDENTITY [FILE|-] | zstd -d | pg_restore …

Needs python3-cryptography and the age program. The format is in docs/format.md. Writes the payload to
standard output as it was sealed (compressed), each segment only when it is authentic. Ends with exit
code 1 on any damage; what was written until then is authentic, but not all of it."""
import argparse, base64, hmac, json, re, struct, subprocess, sys
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FIRST_LINE, TAG_BYTES = b"pg321 sealed 1\n", 16
NAMES = {"installation", "server", "database", "backup_id", "kind", "started_at", "compression"}


def fail(message):
    sys.exit(f"unseal: {message}")


def take(file, count, what):
    data = file.read(count)
    return data if len(data) == count else fail(f"cut off in its {what}")


def take_part(file, what):
    length = struct.unpack(">I", take(file, 4, f"length of the {what}"))[0]
    return take(file, length, what) if length <= 65536 else fail(f"{what}: {length} bytes are too many")


def parse_metadata(data):
    try:
        metadata = json.loads(data.decode("utf-8"))
        size, signer = metadata["segment_bytes"], metadata["signer"]
        whole = NAMES <= metadata.keys() and metadata["cipher"] == "aes-256-gcm" and type(signer) is str
        whole &= type(size) is int and 64 <= size <= 16 << 20
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    return metadata if whole else fail("its metadata is not as version 1 has it")


def verify_signature(signed, signature, signer, trusted):
    if not trusted:
        return print("unseal: WARNING: no trusted signer: anybody may have made this (see --signer)", file=sys.stderr)
    if signer not in trusted:
        fail(f"signed by {signer}, which is not a trusted signer")
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signer))
    try:
        key.verify(signature, b"pg321 sealed 1 signature\n" + signed)
    except InvalidSignature:
        fail("its header is damaged or forged")


def open_segments(file, key, segment_bytes):
    gcm, index, following = AESGCM(key), 0, file.read(segment_bytes + TAG_BYTES)
    while following or index == 0:
        segment, following = following, file.read(segment_bytes + TAG_BYTES)
        if len(segment) < TAG_BYTES or (len(segment) == TAG_BYTES and index > 0):
            fail(f"cut off in or before segment {index}")
        try:
            plaintext = gcm.decrypt(index.to_bytes(11, "big") + (b"\0" if following else b"\1"), segment, None)
        except InvalidTag:
            fail(f"segment {index} is damaged, out of its place, or not the last one")
        sys.stdout.buffer.write(plaintext)
        index += 1
    sys.stdout.buffer.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-i", "--identity", required=True, help="identity file, as for age -d -i")
    parser.add_argument("--signer", action="append", default=[], help="a trusted signer (base64)")
    parser.add_argument("file", nargs="?", default="-")
    args = parser.parse_args()
    trusted = args.signer + re.findall(r"(?m)^# signer: (\S+)$", open(args.identity, encoding="latin-1").read())
    file = sys.stdin.buffer if args.file == "-" else open(args.file, "rb")
    if file.read(len(FIRST_LINE)) != FIRST_LINE:
        fail("not a file that pg321 sealed in version 1 of the format")
    parts = metadata_bytes, age_file = take_part(file, "metadata"), take_part(file, "wrapped key")
    signed = FIRST_LINE + b"".join(struct.pack(">I", len(part)) + part for part in parts)
    signature, mac, nonce = take(file, 64, "signature"), take(file, 32, "code"), take(file, 16, "nonce")
    metadata = parse_metadata(metadata_bytes)
    verify_signature(signed, signature, metadata["signer"], trusted)
    age = subprocess.run(["age", "-d", "-i", args.identity], input=age_file, stdout=subprocess.PIPE)
    if age.returncode != 0 or len(age.stdout) != 32:
        fail("the identity does not open its file key")
    mac_key = HKDF(hashes.SHA256(), 32, None, b"pg321 sealed 1 header").derive(age.stdout)
    if not hmac.compare_digest(hmac.digest(mac_key, signed + signature, "sha256"), mac):
        fail("its header is damaged")
    print(f"unseal: {json.dumps(metadata)}", file=sys.stderr)
    key = HKDF(hashes.SHA256(), 32, nonce, b"pg321 sealed 1 payload").derive(age.stdout)
    open_segments(file, key, metadata["segment_bytes"])


try:
    main()
except OSError as error:
    fail(error)
