import { expect, test } from "bun:test";
import { mountOf } from "./mounts.ts";

test("a path lies on the nearest mount above it, and on the last of several at the same point", () => {
  const mountinfo = [
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw",
    "40 22 8:17 / /mnt rw shared:5 - xfs /dev/sdb1 rw",
    "41 40 8:33 / /mnt/my\\040disk rw shared:6 master:2 - vfat /dev/sdc1 rw",
    "42 40 0:50 / /mnt/nas rw - nfs4 nas:/backup rw",
    "43 40 0:51 / /mnt/nas rw - tmpfs tmpfs rw",
    "",
  ].join("\n");
  const at = (path: string) => {
    const mount = mountOf(path, mountinfo);
    return `${mount?.point} ${mount?.fileSystem}`;
  };
  expect(at("/srv/backup")).toBe("/ ext4");
  expect(at("/mnt")).toBe("/mnt xfs");
  expect(at("/mntx")).toBe("/ ext4");
  expect(at("/mnt/my disk/pg321")).toBe("/mnt/my disk vfat");
  expect(at("/mnt/nas/pg321")).toBe("/mnt/nas tmpfs");
});
