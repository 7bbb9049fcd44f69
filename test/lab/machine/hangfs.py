#!/usr/bin/env python3
"""A file system that stops answering: `hangfs.py MOUNTPOINT SWITCH`, as root. An empty directory that can be looked
at; while the file SWITCH exists no call on it gets an answer, as on a dead NFS server: not even SIGKILL ends who
called. It needs /dev/fuse, and nothing else. When this process ends every call fails, and `umount -l` takes the mount
away. The messages are those of /usr/include/linux/fuse.h, version 7.26."""
import ctypes
import os
import struct
import sys

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FSYNC, FLUSH = 1, 2, 3, 14, 15, 17, 18, 20, 25
INIT, OPENDIR, READDIR, RELEASEDIR, FSYNCDIR, ACCESS, BATCH_FORGET, READDIRPLUS = 26, 27, 28, 29, 30, 34, 42, 44
ENOENT, ENODEV, ENOSYS = 2, 19, 38

# One directory, 0777, of root.
ATTRIBUTES = struct.pack("<6Q10I", 1, 4096, 8, 0, 0, 0, 0, 0, 0, 0o040777, 2, 0, 0, 0, 4096, 0)
# 1,000,000 blocks of 4096 bytes, 900,000 of them free.
SPACE = struct.pack("<5Q4I6I", 1000000, 900000, 900000, 1000, 900, 4096, 255, 4096, 0, *([0] * 6))

mount_point, switch = sys.argv[1:3]
device = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"hangfs", mount_point.encode(), b"fuse", 0, options) != 0:
    sys.exit("mount: " + os.strerror(ctypes.get_errno()))
print("mounted", flush=True)

while True:
    try:
        request = os.read(device, 1 << 20)
    except OSError as error:
        if error.errno == ENODEV:
            break
        continue
    _, operation, unique = struct.unpack("<IIQ", request[:16])

    def answer(data=b"", error=0):
        os.write(device, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)

    if operation == INIT:
        readahead = struct.unpack("<I", request[48:52])[0]
        answer(struct.pack("<4IHHII7I", 7, 26, readahead, 0, 12, 10, 1 << 17, 1, *([0] * 7)))
    elif operation in (FORGET, BATCH_FORGET):
        pass
    elif os.path.exists(switch):
        print("hangs", flush=True)
    elif operation == GETATTR:
        answer(struct.pack("<QII", 0, 0, 0) + ATTRIBUTES)
    elif operation == STATFS:
        answer(SPACE)
    elif operation == LOOKUP:
        answer(error=ENOENT)
    elif operation == OPENDIR:
        answer(struct.pack("<QII", 1, 0, 0))
    elif operation in (READDIR, READDIRPLUS, RELEASEDIR, FSYNCDIR, ACCESS, RELEASE, FLUSH):
        answer()
    else:
        answer(error=ENOSYS)
