#!/usr/bin/env python3
"""Opens a file sealed by pg321 without pg321: unseal.py -i IDENTITY [FILE|-] | zstd -d | pg_restore …

Needs python3-cryptography and the age program. docs/format.md specifies the format. Writes the payload to
standard output as it was sealed (compressed), each segment only after checking that it is authentic. Exits
with code 1 on any damage; the output up to that point is authentic but incomplete. The number of rows of each table
of a dump is in the manifest beside the file: jq -r .details MANIFEST.json | age -d -i IDENTITY"""
import argparse, base64, hmac, json, re, struct, subprocess, sys, tempfile
from datetime import datetime
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FIRST_LINE, AGE_LINE, TAG_BYTES = b"pg321 sealed 1\n", b"age-encryption.org/v1\n", 16
UUID, NAME, TIME = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "(?s:.+)", "%Y-%m-%dT%H:%M:%S.%fZ"
SIGNER = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="  # the only accepted base64 spelling of 32 bytes
FORMS = {"installation": UUID, "server": NAME, "database": NAME, "backup_id": UUID, "kind": "dump|globals",
         "started_at": ".+", "compression": "zstd|gzip|none", "cipher": "aes-256-gcm", "signer": SIGNER}

def fail(message):
    sys.exit(f"unseal: {message}")

def take(file, count, what):
    data = file.read(count) if count <= 65536 else fail(f"{what}: {count} bytes are too many")
    return data if len(data) == count else fail(f"cut off in its {what}")

def take_part(file, what):
    return take(file, struct.unpack(">I", take(file, 4, f"length of the {what}"))[0], what)

def is_plain(value, level=1):
    """Whether no other reader can interpret the JSON differently."""
    if isinstance(value, dict) and all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in value):
        value = list(value.values())
    if isinstance(value, list):
        return level <= 32 and all(is_plain(inner, level + 1) for inner in value)
    return not isinstance(value, (dict, float)) and (type(value) is not int or abs(value) < 2**53)

def parse_metadata(data):
    try:
        text = data.decode("utf-8")
        said = json.loads(text)
        valid = is_plain(said) and json.dumps(said, separators=(",", ":"), ensure_ascii=False) == text
        valid &= all(re.fullmatch(form, said[name]) is not None for name, form in FORMS.items())
        valid &= all(len(said[name].encode("utf-16-le")) <= 2 * 255 for name in ("server", "database"))
        started = datetime.strptime(said["started_at"], TIME).isoformat(timespec="milliseconds") + "Z"
        valid &= started == said["started_at"]
        valid &= type(said["segment_bytes"]) is int and 64 <= said["segment_bytes"] <= 16 << 20
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    return said if valid else fail("its metadata is not valid in version 1 of the format")

def read_identity(path):
    """Returns the identities, in age's format, and the signers."""
    data = open(path, "rb").read()
    if b"-----BEGIN AGE ENCRYPTED FILE-----" in data:  # age asks for the passphrase
        age = subprocess.run(["age", "-d", path], stdout=subprocess.PIPE)
        data = age.stdout if age.returncode == 0 else fail(f"{path}: age could not open it; the passphrase is needed")
    lines = [line.strip(" \t\r") for line in data.decode("utf-8-sig", "replace").split("\n")]
    keys = [line for line in lines if line and not line.startswith("#")]
    told = re.findall(r"(?m)^#[ \t]*(signer|installation)[ \t]*:[ \t]*(.*)$", "\n".join(lines))
    valid = all(re.fullmatch(SIGNER if word == "signer" else UUID, value) for word, value in told)
    if not valid or not keys or not all(key.startswith("AGE-SECRET-KEY-1") for key in keys):
        fail(f"{path}: has no identity, or has a malformed line")
    return "\n".join(keys).encode(), [value for word, value in told if word == "signer"]

def require_signed(signed, signature, signer):
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signer))
    try:
        key.verify(signature, b"pg321 sealed 1 signature\n" + signed)
    except InvalidSignature:
        fail("its header is damaged or forged")

def require_named(said, name):
    """If the file's name has the form of a backup's name, requires that it is this backup's."""
    told = re.search(r"_([0-9]{8}_[0-9]{6}_[0-9a-f]{8}\.(dump|globals))[^/]*$", name)
    time = re.sub("[-:]", "", said["started_at"]).replace("T", "_")[:15]
    if told and told[1] != f"{time}_{said['backup_id'][:8]}.{said['kind']}":
        fail(f"the file has another backup's name: it is {said['backup_id']} of {said['started_at']}")

def open_segments(file, key, segment_bytes):
    gcm, index, following = AESGCM(key), 0, file.read(segment_bytes + TAG_BYTES)
    while following or index == 0:
        segment, following = following, file.read(segment_bytes + TAG_BYTES)
        if len(segment) < TAG_BYTES or (len(segment) == TAG_BYTES and index > 0):
            fail(f"cut off in or before segment {index}")
        try:
            plaintext = gcm.decrypt(index.to_bytes(11, "big") + (b"\0" if following else b"\1"), segment, None)
        except InvalidTag:
            fail(f"segment {index} is damaged or out of order, or the file is cut off after it")
        sys.stdout.buffer.write(plaintext)
        index += 1
    sys.stdout.buffer.flush()

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-i", "--identity", required=True, help="identity file, as for age -d -i")
    parser.add_argument("--signer", action="append", default=[], help="a trusted signer (base64)")
    parser.add_argument("--any-signer", action="store_true", help="open the file whoever signed it")
    parser.add_argument("file", nargs="?", default="-")
    args = parser.parse_args()
    identities, trusted = read_identity(args.identity)
    file = sys.stdin.buffer if args.file == "-" else open(args.file, "rb")
    if file.read(len(FIRST_LINE)) != FIRST_LINE:
        fail("not a file that pg321 sealed in version 1 of the format")
    parts = metadata_bytes, age_file = take_part(file, "metadata"), take_part(file, "wrapped key")
    signed = FIRST_LINE + b"".join(struct.pack(">I", len(part)) + part for part in parts)
    signature, mac, nonce = take(file, 64, "signature"), take(file, 32, "code"), take(file, 16, "nonce")
    said = parse_metadata(metadata_bytes)
    if not age_file.startswith(AGE_LINE):
        fail("its wrapped key is not a binary age file")
    if args.any_signer:
        print("unseal: WARNING: anybody may have made this file, and it is opened all the same", file=sys.stderr)
    elif said["signer"] not in trusted + args.signer:
        fail(f"signed by {said['signer']}, which is not a trusted signer; if it is yours, give it with --signer")
    require_signed(signed, signature, said["signer"])
    require_named(said, args.file)
    with tempfile.NamedTemporaryFile(buffering=0) as wrapped:
        wrapped.write(age_file)
        age = subprocess.run(["age", "-d", "-i", "-", wrapped.name], input=identities, stdout=subprocess.PIPE)
    if age.returncode != 0 or len(age.stdout) != 32:
        fail("the identity does not open the file")
    mac_key = HKDF(hashes.SHA256(), 32, None, b"pg321 sealed 1 header").derive(age.stdout)
    if not hmac.compare_digest(hmac.digest(mac_key, signed + signature, "sha256"), mac):
        fail("its header is damaged")
    print(f"unseal: {json.dumps({name: said[name] for name in FORMS})}", file=sys.stderr)
    key = HKDF(hashes.SHA256(), 32, nonce, b"pg321 sealed 1 payload").derive(age.stdout)
    open_segments(file, key, said["segment_bytes"])

try:
    main()
except OSError as error:
    fail(error)
