import { expect, test } from "bun:test";
import { installCommand } from "./packages.ts";

test.each([
  ['ID=debian\nVERSION_ID="12"', "apt-get install postgresql-client-17 (", "apt-get install postgresql-17 ("],
  ["ID=ubuntu\nID_LIKE=debian", "apt-get install postgresql-client-17 (", "apt-get install postgresql-17 ("],
  [
    "ID=linuxmint\nID_LIKE='ubuntu debian'",
    "apt-get install postgresql-client-17 (",
    "apt-get install postgresql-17 (",
  ],
  [
    'ID="rocky"\nID_LIKE="rhel centos fedora"',
    "dnf install postgresql17 (",
    "dnf install postgresql17-server (",
  ],
  ["NAME=Fedora\nID=fedora", "dnf install postgresql17 (", "dnf install postgresql17-server ("],
  ["ID=alpine", "apk add postgresql17-client", "apk add postgresql17"],
  [
    'ID="opensuse-leap"\nID_LIKE="suse opensuse"',
    "zypper install postgresql17",
    "zypper install postgresql17-server",
  ],
  ["ID=arch", "pacman -S postgresql (", "pacman -S postgresql ("],
  ["", "install the client programs of PostgreSQL 17", "install the server programs of PostgreSQL 17"],
  [
    "ID=plan9",
    "install the client programs of PostgreSQL 17",
    "install the server programs of PostgreSQL 17",
  ],
])("the packages of %j", (osRelease, client, server) => {
  expect(installCommand("client", 17, osRelease)).toStartWith(client);
  expect(installCommand("server", 17, osRelease)).toStartWith(server);
});
