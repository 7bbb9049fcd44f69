#!/usr/bin/env python3
"""Opens a file sealed by pg321 without pg321: unseal.py -i IDENTITY [FILE|-] | zstd -d | pg_restore …

Needs python3-cryptography and the age program. docs/format.md specifies the format. Writes the payload to
standard output as it was sealed (compressed), each segment only after checking that it is authentic. Exits
with code 1 on any damage; the output up to that point is authentic but incomplete. The number of rows of each table
of a dump is in the manifest beside the file: jq -r .details MANIFEST.json | age -d -i IDENTITY

A file of version 2 has several archives: --members DIR writes them into a new directory (with zstd or gzip; for a
backup that is not encrypted: zstd -dc FILE | unseal.py --members DIR). Restore first the tables (pg_restore --section=pre-data DIR/schema.dump), then each DIR/data*.dump, then indexes and keys
(pg_restore --section=post-data DIR/schema.dump)."""
import argparse, base64, hmac, json, os, re, struct, subprocess, sys, tempfile
from datetime import datetime
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

AGE_LINE, TAG_BYTES = b"age-encryption.org/v1\n", 16
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

def parse_compact(data):
    said = json.loads(data.decode("utf-8"))
    if not is_plain(said) or json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode() != data:
        raise ValueError("not the compact JSON that was written")
    return said

def parse_metadata(data, version):
    try:
        said = parse_compact(data)
        valid = all(re.fullmatch(form, said[name]) is not None for name, form in FORMS.items())
        valid &= version == 1 or said["kind"] == "dump"
        valid &= all(len(said[name].encode("utf-16-le")) <= 2 * 255 for name in ("server", "database"))
        started = datetime.strptime(said["started_at"], TIME).isoformat(timespec="milliseconds") + "Z"
        valid &= started == said["started_at"]
        valid &= type(said["segment_bytes"]) is int and 64 <= said["segment_bytes"] <= 16 << 20
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    return said if valid else fail(f"its metadata is not valid in version {version} of the format")

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

def require_signed(signed, signature, signer, version):
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(signer))
    try:
        key.verify(signature, b"pg321 sealed %d signature\n" % version + signed)
    except InvalidSignature:
        fail("its header is damaged or forged")

def require_named(said, name):
    """If the file's name has the form of a backup's name, requires that it is this backup's."""
    told = re.search(r"_([0-9]{8}_[0-9]{6}_[0-9a-f]{8}\.(dump|globals))[^/]*$", name)
    time = re.sub("[-:]", "", said["started_at"]).replace("T", "_")[:15]
    if told and told[1] != f"{time}_{said['backup_id'][:8]}.{said['kind']}":
        fail(f"the file has another backup's name: it is {said['backup_id']} of {said['started_at']}")

def open_segments(file, key, segment_bytes, output):
    gcm, index, following = AESGCM(key), 0, file.read(segment_bytes + TAG_BYTES)
    while following or index == 0:
        segment, following = following, file.read(segment_bytes + TAG_BYTES)
        if len(segment) < TAG_BYTES or (len(segment) == TAG_BYTES and index > 0):
            fail(f"cut off in or before segment {index}")
        try:
            plaintext = gcm.decrypt(index.to_bytes(11, "big") + (b"\0" if following else b"\1"), segment, None)
        except InvalidTag:
            fail(f"segment {index} is damaged or out of order, or the file is cut off after it")
        output.write(plaintext)
        index += 1
    output.flush()

def take_record(file, count):
    data = file.read(count)
    return data if len(data) == count else fail("the container is cut off")

def write_members(file, directory, start=b"", check=lambda: True):
    """Writes the archives of a container to a new directory. Nothing stays if that fails: they are rows in plaintext."""
    if os.path.lexists(directory):
        fail(f"{directory} exists already")
    parent, name = os.path.split(os.path.abspath(directory))
    with tempfile.TemporaryDirectory(prefix=f"{name}.part-", dir=parent) as made:
        split(file, f"{made}/archives", start)
        if not check():
            fail("damaged, so the archives are not complete")
        os.rename(f"{made}/archives", directory)

def split(file, directory, start):
    """Writes the archives to a new directory; returns if the container is complete."""
    if start + take_record(file, 18 - len(start)) != b"pg321 container 1\n":
        fail("does not contain a container of version 1")
    at_once, names, files = struct.unpack(">I", take_record(file, 4))[0], [], {}
    if not 1 <= at_once <= 64:
        fail(f"the container claims {at_once} members at once")
    os.mkdir(directory, 0o700)
    while True:
        kind, number, length = struct.unpack(">BII", take_record(file, 9))
        if kind == 1:  # the beginning of a member
            name = begin(take_record(file, length) if length <= 4096 else b"", number, names, files, at_once)
            names.append(name)
            files[number] = os.fdopen(os.open(f"{directory}/{name}.dump", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        elif kind == 2 and number in files and 1 <= length <= 16 << 20:  # a frame
            files[number].write(take_record(file, length))
        elif kind == 3 and number in files and length == 8:  # the end of a member
            size, member = struct.unpack(">Q", take_record(file, 8))[0], files.pop(number)
            if member.tell() != size:
                fail(f"member {number} does not have the size that was written")
            member.close()
        elif kind == 4 and number == len(names) > 0 and length == 0 and not files and not file.read(1):
            return
        else:
            fail("the container has a record that does not fit")

def begin(body, number, names, files, at_once):
    """The name of the member that begins."""
    try:
        said = parse_compact(body)
        valid = re.fullmatch("[a-z0-9][a-z0-9._-]{0,62}", said["name"]) and said["name"] not in names
        valid = valid and number == len(names) and said["kind"] == ("data" if names else "schema")
    except (ValueError, KeyError, TypeError, RecursionError):
        valid = False
    if not valid or 0 in files or len(files) >= at_once:
        fail("a member of the container begins wrongly")
    return said["name"]

def open_members(file, key, said, directory):
    tool = {"zstd": ["zstd", "-dcq"], "gzip": ["gzip", "-dc"], "none": ["cat"]}[said["compression"]]
    reader = subprocess.Popen(tool, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child = os.fork()
    if child == 0:
        reader.stdout.close()
        open_segments(file, key, said["segment_bytes"], reader.stdin)
        os._exit(0)
    reader.stdin.close()
    write_members(reader.stdout, directory, check=lambda: os.waitpid(child, 0)[1] == 0 and reader.wait() == 0)

def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-i", "--identity", help="identity file, as for age -d -i")
    parser.add_argument("--signer", action="append", default=[], help="a trusted signer (base64)")
    parser.add_argument("--any-signer", action="store_true", help="open the file whoever signed it")
    parser.add_argument("--members", metavar="DIR", help="write the archives of a file of version 2 into a new directory")
    parser.add_argument("file", nargs="?", default="-")
    args = parser.parse_args()
    file = sys.stdin.buffer if args.file == "-" else open(args.file, "rb")
    first_line = file.read(15)
    if args.members and first_line == b"pg321 container":  # decompressed, and never sealed
        return write_members(file, args.members, first_line)
    identities, trusted = read_identity(args.identity or fail("give the identity file with -i"))
    version = {b"pg321 sealed 1\n": 1, b"pg321 sealed 2\n": 2}.get(first_line)
    if version is None:
        fail("not a file that pg321 sealed in version 1 or 2 of the format")
    if args.members and version == 1:
        fail("it has only one archive: leave out --members")
    parts = metadata_bytes, age_file = take_part(file, "metadata"), take_part(file, "wrapped key")
    signed = first_line + b"".join(struct.pack(">I", len(part)) + part for part in parts)
    signature, mac, nonce = take(file, 64, "signature"), take(file, 32, "code"), take(file, 16, "nonce")
    said = parse_metadata(metadata_bytes, version)
    if not age_file.startswith(AGE_LINE):
        fail("its wrapped key is not a binary age file")
    if args.any_signer:
        print("unseal: WARNING: anybody may have made this file, and it is opened all the same", file=sys.stderr)
    elif said["signer"] not in trusted + args.signer:
        fail(f"signed by {said['signer']}, which is not a trusted signer; if it is yours, give it with --signer")
    require_signed(signed, signature, said["signer"], version)
    require_named(said, args.file)
    with tempfile.NamedTemporaryFile(buffering=0) as wrapped:
        wrapped.write(age_file)
        age = subprocess.run(["age", "-d", "-i", "-", wrapped.name], input=identities, stdout=subprocess.PIPE)
    if age.returncode != 0 or len(age.stdout) != 32:
        fail("the identity does not open the file")
    mac_key = HKDF(hashes.SHA256(), 32, None, b"pg321 sealed %d header" % version).derive(age.stdout)
    if not hmac.compare_digest(hmac.digest(mac_key, signed + signature, "sha256"), mac):
        fail("its header is damaged")
    print(f"unseal: {json.dumps({name: said[name] for name in FORMS})}", file=sys.stderr)
    key = HKDF(hashes.SHA256(), 32, nonce, b"pg321 sealed %d payload" % version).derive(age.stdout)
    if args.members:
        return open_members(file, key, said, args.members)
    if version == 2:
        print("unseal: it has several archives, which --members DIR would write", file=sys.stderr)
    open_segments(file, key, said["segment_bytes"], sys.stdout.buffer)

try:
    main()
except OSError as error:
    fail(error)
