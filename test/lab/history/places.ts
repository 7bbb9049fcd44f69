import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, rmdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from "@aws-sdk/client-s3";
import { localStorage, s3Storage } from "../installation.ts";
import type { S3Lab } from "../servers/s3.ts";

/** An object as a stranger sees it, with the hidden versions under it. */
export interface SeenObject {
  key: string;
  /** SHA-256 of the readable bytes; undefined if the object is hidden. */
  visible: string | undefined;
  /** SHA-256 of everything stored under the key, including hidden versions. */
  stored: string[];
}

/** A place for copies, which a stranger changes behind the program's back. */
export interface HistoryPlace {
  /** The `[[storage]]` table of this place, with a name. */
  table(name: string): string;
  look(): Promise<SeenObject[]>;
  /** Flips one bit in the middle of an object. */
  flip(key: string): Promise<void>;
  cut(key: string): Promise<void>;
  /** Removes an object; a bucket with versions only hides it. */
  remove(key: string): Promise<void>;
}

/** The settings of every storage. */
export const KEEP_DAYS = 20;
const KEEP = { "keep.days": KEEP_DAYS, stall_timeout: "20s" };

export class DirectoryPlace implements HistoryPlace {
  readonly #parent: string;
  readonly #name: string;

  constructor(parent: string, name: string) {
    this.#parent = parent;
    this.#name = name;
  }

  get path(): string {
    return join(this.#parent, this.#name);
  }

  get #path(): string {
    return this.isAway ? `${this.path}.away` : this.path;
  }

  get isAway(): boolean {
    return existsSync(`${this.path}.away`);
  }

  table(name: string): string {
    return localStorage(name, this.#parent, { ...KEEP, path: this.path });
  }

  /** Takes the disk away: its empty mount point is left. */
  async unmount(): Promise<void> {
    await rename(this.path, `${this.path}.away`);
    await mkdir(this.path);
  }

  /** Mounts the disk again. Throws if somebody has written into the mount point. */
  async mount(): Promise<void> {
    await rmdir(this.path);
    await rename(`${this.path}.away`, this.path);
  }

  async look(): Promise<SeenObject[]> {
    const entries = await readdir(this.#path, { recursive: true, withFileTypes: true });
    return Promise.all(
      entries
        .filter((entry) => entry.isFile())
        .map(async (entry) => {
          const path = join(entry.parentPath, entry.name);
          const visible = sha256(await readFile(path));
          return { key: path.slice(this.#path.length + 1), visible, stored: [visible] };
        }),
    );
  }

  async flip(key: string): Promise<void> {
    const path = join(this.#path, key);
    await writeFile(path, flipped(await readFile(path)));
  }

  async cut(key: string): Promise<void> {
    const path = join(this.#path, key);
    await truncate(path, (await readFile(path)).length >> 1);
  }

  async remove(key: string): Promise<void> {
    await rm(join(this.#path, key));
  }
}

/** A bucket with versions: objects that a stranger deletes there are only hidden. */
export class BucketPlace implements HistoryPlace {
  readonly #lab: S3Lab;
  readonly #bucket: string;
  /** A version never changes. */
  readonly #hashes = new Map<string, string>();

  constructor(lab: S3Lab, bucket: string) {
    this.#lab = lab;
    this.#bucket = bucket;
  }

  table(name: string): string {
    return s3Storage(name, this.#lab, this.#bucket, { ...KEEP, prefix: "" });
  }

  async look(): Promise<SeenObject[]> {
    const list = await this.#lab.client.send(new ListObjectVersionsCommand({ Bucket: this.#bucket }));
    const byKey = Map.groupBy(list.Versions ?? [], ({ Key = "" }) => Key);
    return Promise.all(
      [...byKey].map(async ([key, versions]) => {
        const stored = await Promise.all(versions.map(({ VersionId }) => this.#hash(key, VersionId ?? "")));
        const latest = versions.findIndex(({ IsLatest }) => IsLatest === true);
        return { key, visible: stored[latest], stored };
      }),
    );
  }

  async flip(key: string): Promise<void> {
    await this.#put(key, flipped(await this.#get(key)));
  }

  async cut(key: string): Promise<void> {
    const bytes = await this.#get(key);
    await this.#put(key, bytes.subarray(0, bytes.length >> 1));
  }

  async remove(key: string): Promise<void> {
    await this.#lab.client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }));
  }

  async #put(Key: string, Body: Buffer): Promise<void> {
    await this.#lab.client.send(new PutObjectCommand({ Bucket: this.#bucket, Key, Body }));
  }

  async #get(Key: string, VersionId?: string): Promise<Buffer> {
    const input = { Bucket: this.#bucket, Key, ...(VersionId !== undefined && { VersionId }) };
    const { Body } = await this.#lab.client.send(new GetObjectCommand(input));
    return Buffer.from((await Body?.transformToByteArray()) ?? []);
  }

  async #hash(key: string, version: string): Promise<string> {
    const name = `${key} ${version}`;
    const hash = this.#hashes.get(name) ?? sha256(await this.#get(key, version));
    this.#hashes.set(name, hash);
    return hash;
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function flipped(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes);
  const middle = changed.length >> 1;
  changed[middle] = (changed[middle] ?? 0) ^ 1;
  return changed;
}
