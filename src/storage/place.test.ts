import { expect, test } from "bun:test";
import { overlapOf, placeInFileSystem } from "./place.ts";

test.each([
  [["file:/b/disk"], ["file:/b/disk"], "same"],
  [["file:/b/disk/sub"], ["file:/b/disk"], "inside"],
  [["file:/b"], ["file:/b/disk"], "around"],
  [["file:/"], ["file:/b"], "around"],
  [["file:/b/disk2"], ["file:/b/disk"], undefined],
  [["file:/mnt/x", "device 8:1:/b/sub"], ["file:/b", "device 8:1:/b"], "inside"],
  [["file:/mnt/x", "device 8:1:/b"], ["file:/mnt/y", "device 8:2:/b"], undefined],
  [["s3://a/bucket/one"], ["s3://a/bucket"], "inside"],
  [["s3://a/bucket"], ["s3://a/bucket2"], undefined],
] as const)("%p and %p: %p", (a, b, expected) => {
  expect(overlapOf(a, b)).toBe(expected);
});

/** In the format of proc(5). */
const MOUNTS = [
  "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
  "40 22 8:17 / /mnt/backup rw,relatime - xfs /dev/sdb1 rw",
  "41 22 8:17 /pg/main /srv/with\\040blank rw - xfs /dev/sdb1 rw",
  "42 22 0:44 / /mnt/backup rw - tmpfs tmpfs rw",
  "",
].join("\n");

test.each([
  ["/var/lib", "device 8:1:/var/lib"],
  ["/", "device 8:1:"],
  ["/srv/with blank", "device 8:17:/pg/main"],
  ["/srv/with blank/a", "device 8:17:/pg/main/a"],
  // The last mount on a point hides the earlier ones.
  ["/mnt/backup/a", "device 0:44:/a"],
  ["/mnt/backups", "device 8:1:/mnt/backups"],
])("%s lies at %s", (path, expected) => {
  expect(placeInFileSystem(path, MOUNTS)).toBe(expected);
});

test("without mounts there is no name in a file system", () => {
  expect(placeInFileSystem("/a", "")).toBeUndefined();
});
