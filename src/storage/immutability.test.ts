import { expect, test } from "bun:test";
import type { S3StorageConfig, StorageConfig } from "../config/config.ts";
import type { LockFacts, ProbeFacts } from "./immutability.ts";
import {
  copyImmutability,
  lockPlace,
  probedPlace,
  probesInForce,
  storageImmutability,
} from "./immutability.ts";

const NOW = new Date("2026-11-30T12:00:00.000Z");
const bucket = (change: Partial<S3StorageConfig>) =>
  ({ type: "s3", name: "r2", expire: "delete", keep: { days: 60 }, ...change }) as StorageConfig;
const DIRECTORY = { type: "local", name: "disk", expire: "delete", keep: { days: 60 } } as StorageConfig;
const LOCK = { lock: { mode: "compliance", days: 30, longer_than_retention: false } } as const;
const RULE = { immutable: { by: "bucket-rule", days: 30 } } as const;
const LIFECYCLE = { expire: "provider-lifecycle" } as const;
const probe = (by: ProbeFacts["by"], refused = true): ProbeFacts => ({
  by,
  refused,
  probed_at: "2026-11-20T00:00:00.000Z",
  message: "",
});
const copy = (change: Partial<LockFacts> = {}): LockFacts => ({
  state: "CONFIRMED",
  confirmed_at: "2026-11-29T00:00:00.000Z",
  locked_until: "2026-12-29T00:00:00.000Z",
  lock_mode: "compliance",
  lock_error: null,
  lock_place: lockPlace(bucket({})),
  ...change,
});

test.each([
  ["a directory", DIRECTORY, undefined, "none", "the owner of a directory and root can delete"],
  ["a bucket", bucket({}), undefined, "none", "its access key can delete every copy"],
  ["a lock", bucket(LOCK), undefined, "lock", "locks each copy for 30 days (compliance)"],
  [
    "a lock with a probe",
    bucket(LOCK),
    probe("lock"),
    "lock",
    "refused to delete a probe object at 2026-11-20",
  ],
  [
    "a refuted lock",
    bucket(LOCK),
    probe("lock", false),
    "none",
    "at 2026-11-20 00:00:00 UTC a probe object was not protected",
  ],
  ["a rule", bucket(RULE), undefined, "unproven", "no probe has shown"],
  ["a rule with another's probe", bucket(RULE), probe("append-only"), "unproven", "no probe has shown"],
  ["a proven rule", bucket(RULE), probe("bucket-rule"), "bucket-rule", "at 2026-11-20"],
  ["a refuted rule", bucket(RULE), probe("bucket-rule", false), "none", "was not protected"],
  ["a lifecycle rule", bucket(LIFECYCLE), undefined, "unproven", "append-only"],
  ["a proven lifecycle rule", bucket(LIFECYCLE), probe("append-only"), "append-only", "append-only"],
] as const)("%s", (_, settings, probed, by, words) => {
  const found = storageImmutability(settings, probed);
  expect(found).toMatchObject({ by, isImmutable: ["lock", "bucket-rule", "append-only"].includes(by) });
  expect(found.sentence).toContain(words);
  expect(found.nextStep === null).toBe(found.isImmutable);
});

test.each([
  ["locked", bucket(LOCK), undefined, {}, "2026-12-29T00:00:00.000Z", "(compliance)"],
  ["not asked yet", bucket(LOCK), undefined, { locked_until: null }, null, "was not asked yet"],
  [
    "refused",
    bucket(LOCK),
    undefined,
    { locked_until: null, lock_error: "no Object Lock" },
    null,
    "no Object Lock",
  ],
  ["over", bucket(LOCK), undefined, { locked_until: "2026-11-30T12:00:00.000Z" }, null, "lock ended at"],
  ["damaged", bucket(LOCK), undefined, { state: "DAMAGED" }, null, "the copy is not good"],
  ["refuted", bucket(LOCK), probe("lock", false), {}, null, "was not protected"],
  ["by a rule", bucket(RULE), probe("bucket-rule"), {}, "2026-12-29T00:00:00Z", "rule of the bucket until"],
  ["rule unproven", bucket(RULE), undefined, {}, null, "no probe has shown"],
  [
    "rule over",
    bucket(RULE),
    probe("bucket-rule"),
    { confirmed_at: "2026-10-31T00:00:00.000Z" },
    null,
    "ended at",
  ],
  [
    "by a rule, dated by a clock that was ahead",
    bucket(RULE),
    probe("bucket-rule"),
    { confirmed_at: "2026-12-29T00:00:00.000Z" },
    null,
    "in the future",
  ],
  [
    "locked at another place",
    bucket({ ...LOCK, bucket: "new" }),
    undefined,
    {},
    null,
    "confirmed at another place",
  ],
  ["locked at an unknown place", bucket(LOCK), undefined, { lock_place: null }, null, "at another place"],
  ["append-only", bucket(LIFECYCLE), probe("append-only"), {}, "2027-01-28T00:00:00Z", "append-only until"],
  ["a lock in a bucket that asks for none", bucket({}), undefined, {}, null, "can delete every copy"],
  ["in a directory", DIRECTORY, undefined, {}, null, "directory"],
] as const)("a copy: %s", (_, settings, probed, change, until, words) => {
  const found = copyImmutability(settings, probed, copy(change), NOW);
  expect(found).toMatchObject({ until, isImmutable: until !== null });
  expect(found.sentence).toContain(words);
});

test("a probe proves nothing once the bucket, its address, the prefix or the protection has changed", () => {
  const place = { endpoint: "https://s3.example", bucket: "backups", prefix: "pg321" };
  const probed = bucket({ ...place, ...RULE });
  const found = { ...probe("bucket-rule"), storage: "r2", place: probedPlace(probed) };
  expect([...probesInForce([found], [probed]).values()]).toEqual([found]);
  for (const change of [
    { endpoint: "https://other.example" },
    { bucket: "other" },
    { prefix: "" },
    { immutable: { by: "bucket-rule", days: 31 } } as const,
    { immutable: undefined, ...LIFECYCLE },
    { name: "renamed" },
  ])
    expect(probesInForce([found], [bucket({ ...place, ...RULE, ...change })]).size).toBe(0);
  expect(probesInForce([{ ...found, place: null }], [probed]).size).toBe(0);
  expect(probesInForce([{ ...found, place: null }], [DIRECTORY]).size).toBe(0);
});
