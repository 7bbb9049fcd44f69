/*
 * Datagrams to a Unix socket, for sd_notify(3) and the journal. Bun has no Unix datagram sockets, so this calls libc.
 */
import { closeSync, writeSync } from "node:fs";

/** Sends datagrams to one socket, and never blocks. */
export interface Datagrams {
  /** Returns whether the receiver's queue has taken the message. */
  send(message: Uint8Array): boolean;
  /** As `send`, for a message of any length: it travels in a sealed memory file, of which the receiver gets the descriptor. */
  sendInFile(message: Uint8Array): boolean;
  /** Whether the receiver has yet to read some of the messages that its queue has taken. */
  hasUnread(): boolean;
  /** The time of CLOCK_MONOTONIC. */
  monotonicUsec(): bigint;
}

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
/** MSG_NOSIGNAL | MSG_DONTWAIT: a receiver that does not read must not hold the event loop. */
const FLAGS = 0x4000 | 0x40;
/** SIOCOUTQ: the bytes of a socket that its receiver has not read. */
const SIOCOUTQ = 0x5411;
const CLOCK_MONOTONIC = 1;
/** MFD_CLOEXEC | MFD_ALLOW_SEALING. */
const MEMORY_FILE_FLAGS = 1 | 2;
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE: the receiver maps the file and relies on its content. */
const ALL_SEALS = 1 | 2 | 4 | 8;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;

/** Opens a socket that sends to `address`: a path, or `@name` for an abstract socket. Throws if the system has none. */
export async function datagramsTo(address: string): Promise<Datagrams> {
  const { dlopen, ptr } = await import("bun:ffi");
  const { symbols: libc } = dlopen("libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
    sendmsg: { args: ["i32", "ptr", "i32"], returns: "i64" },
    ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
    memfd_create: { args: ["ptr", "u32"], returns: "i32" },
    fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
    clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  });
  const socket = libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (socket < 0) throw new Error("no datagram socket of the unix domain could be opened");
  const receiver = socketAddress(address);
  return {
    send: (message) => libc.sendto(socket, message, message.length, FLAGS, receiver, receiver.length) >= 0n,
    sendInFile(message) {
      const file = libc.memfd_create(Buffer.from("pg321\0"), MEMORY_FILE_FLAGS);
      if (file < 0) return false;
      try {
        writeWhole(file, message);
        if (libc.fcntl(file, F_ADD_SEALS, ALL_SEALS) !== 0) return false;
        const control = descriptorMessage(file);
        const header = messageHeader({ ptr, receiver, control });
        return libc.sendmsg(socket, header, FLAGS) >= 0n;
      } catch {
        return false;
      } finally {
        closeSync(file);
      }
    },
    hasUnread() {
      const bytes = new Int32Array(1);
      return libc.ioctl(socket, SIOCOUTQ, bytes) === 0 && (bytes[0] ?? 0) > 0;
    },
    monotonicUsec() {
      const time = new BigInt64Array(2);
      libc.clock_gettime(CLOCK_MONOTONIC, time);
      const [seconds = 0n, nanoseconds = 0n] = time;
      return seconds * 1_000_000n + nanoseconds / 1_000n;
    },
  };
}

/** A `struct sockaddr_un` of the length of its name. An abstract name begins with NUL; a path ends with NUL. */
export function socketAddress(address: string): Buffer {
  const name = Buffer.from(address.startsWith("@") ? `\0${address.slice(1)}` : `${address}\0`);
  const family = Buffer.alloc(2);
  new Uint16Array(family.buffer, family.byteOffset, 1)[0] = AF_UNIX;
  return Buffer.concat([family, name]);
}

function writeWhole(file: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(file, bytes, written);
}

/** A `struct cmsghdr` with one file descriptor, on a machine of 64 bits. */
function descriptorMessage(file: number): Buffer {
  const control = Buffer.alloc(24);
  control.writeBigUInt64LE(20n, 0);
  control.writeInt32LE(SOL_SOCKET, 8);
  control.writeInt32LE(SCM_RIGHTS, 12);
  control.writeInt32LE(file, 16);
  return control;
}

/** A `struct msghdr` without data, on a machine of 64 bits. It holds addresses: the buffers must outlive its use. */
function messageHeader({
  ptr,
  receiver,
  control,
}: {
  ptr: (bytes: Uint8Array) => number;
  receiver: Buffer;
  control: Buffer;
}): Buffer {
  const header = Buffer.alloc(56);
  header.writeBigUInt64LE(BigInt(ptr(receiver)), 0);
  header.writeUInt32LE(receiver.length, 8);
  header.writeBigUInt64LE(BigInt(ptr(control)), 32);
  header.writeBigUInt64LE(BigInt(control.length), 40);
  return header;
}
