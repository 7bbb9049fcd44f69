import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Installation } from "./installation.ts";

/** Returns the bytes of an object with a change. */
export type Damage = (bytes: Buffer) => Buffer;

/** The copies of one backup in local storages, for tests that damage them behind the program's back. */
export class LocalCopies {
  readonly #installation: Installation;
  readonly #backupId: string;
  readonly #whole = new Map<string, Buffer>();

  constructor(installation: Installation, backupId: string) {
    this.#installation = installation;
    this.#backupId = backupId;
  }

  object(storage: string): string {
    return this.#path(storage, (name) => !name.endsWith(".json"));
  }

  manifest(storage: string): string {
    return this.#path(storage, (name) => name.endsWith(".json"));
  }

  /** Changes a copy's object. `heal` restores it. */
  damage(storage: string, damage: Damage): void {
    this.change(this.object(storage), damage);
  }

  change(path: string, damage: Damage): void {
    writeFileSync(path, damage(Buffer.from(this.#keep(path))));
  }

  remove(path: string): void {
    this.#keep(path);
    rmSync(path);
  }

  heal(): void {
    for (const [path, bytes] of this.#whole) writeFileSync(path, bytes);
    this.#whole.clear();
  }

  #keep(path: string): Buffer {
    const bytes = this.#whole.get(path) ?? readFileSync(path);
    this.#whole.set(path, bytes);
    return bytes;
  }

  #path(storage: string, isWanted: (name: string) => boolean): string {
    const root = join(this.#installation.directory, storage);
    const all = [...readdirSync(root, { recursive: true, encoding: "utf8" })];
    const short = `_${this.#backupId.slice(0, 8)}.`;
    const found = all
      .filter((name) => name.includes(short) && isWanted(name))
      .map((name) => join(root, name));
    // The path of a copy that a test has removed is still known.
    const kept = [...this.#whole.keys()].filter((path) => path.startsWith(`${root}/`) && isWanted(path));
    const path = found[0] ?? kept[0];
    if (path === undefined) throw new Error(`no copy of ${this.#backupId} in ${storage}`);
    return path;
  }
}

/** Flips one bit, `at` bytes from the start or, when negative, from the end. */
export const flipped =
  (at: number): Damage =>
  (bytes) => {
    const index = at < 0 ? bytes.length + at : at;
    bytes.writeUInt8(bytes.readUInt8(index) ^ 1, index);
    return bytes;
  };

export const flippedInTheMiddle: Damage = (bytes) => flipped(Math.floor(bytes.length / 2))(bytes);
export const cutTo =
  (count: number): Damage =>
  (bytes) =>
    bytes.subarray(0, count < 0 ? bytes.length + count : count);
export const extended: Damage = (bytes) => Buffer.concat([bytes, Buffer.from([0])]);

/** The start of a sealed file's payload: after the first line, two parts with their lengths, signature and MAC. */
export function payloadOffset(object: Buffer): number {
  const metadataAt = object.indexOf("\n") + 1;
  const wrappedAt = metadataAt + 4 + object.readUInt32BE(metadataAt);
  return wrappedAt + 4 + object.readUInt32BE(wrappedAt) + 64 + 32;
}
