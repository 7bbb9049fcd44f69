import { describe, expect, test } from "bun:test";
import { loadToml, MINIMAL, S3 } from "../../test/fixtures/config-file.ts";
import { Secret } from "../base/secret.ts";
import { describeConfig } from "./describe.ts";

const TOML = `${MINIMAL.replace('"main"\n', '"main"\npassword = "hunter2"\nconnect_timeout = "90s"\n')}${S3}
provider = "backblaze-b2"
region = "us-east-005"
min_rate = "2MiB/s"
keep = { days = 20, last = 1, daily = 7, weekly = 4, monthly = 12, yearly = 3 }
expire = { archive_to = "disk" }
[guard]
stale_after = "2d"
`;

describe("describeConfig", () => {
  test("shows the settings in force, with derived values, units in the names, and no secret", async () => {
    const described = describeConfig(await loadToml(TOML));
    expect(described).toMatchObject({
      server: [
        { name: "main", host: null, password: "[secret]", connect_timeout_ms: 90_000, databases: ["*"] },
      ],
      storage: [
        {
          name: "disk",
          path: "/srv/backup",
          min_free_bytes: 2 ** 30,
          min_rate_bytes_per_second: 2 ** 20,
          keep: { days: 30, last: null, yearly: null },
          expire: "delete",
        },
        {
          name: "bucket",
          endpoint: "https://s3.us-east-005.backblazeb2.com",
          access_key_id: "[secret]",
          secret_access_key: "[secret]",
          session_token: null,
          min_rate_bytes_per_second: 2 ** 21,
          stall_timeout_ms: 300_000,
          keep: { days: 20, last: 1, daily: 7, weekly: 4, monthly: 12, yearly: 3 },
          expire: { archive_to: "disk" },
        },
      ],
      encryption: { identity_passphrase: null },
      dump: { max_duration_ms: 0, run_timeout_ms: 86_400_000 },
      guard: { stale_after_ms: 172_800_000, keep: 3 },
      rule: { copies: 3, zero_errors: true, restore_test_max_age_ms: 2_592_000_000, trusted_provers: [] },
      cleanup: { temp_max_age_ms: 86_400_000, tombstones_ms: 31_536_000_000, history_ms: 31_536_000_000 },
    });
    expect(JSON.stringify(described)).not.toMatch(/hunter2|"AK"|"SK"/);
    expect(JSON.parse(JSON.stringify(described))).toEqual(described);
  });

  test("leaves no setting out", async () => {
    const config = await loadToml(TOML);
    expect(keysOf(describeConfig(config))).toEqual(keysOf(config));
    const tables =
      "server database storage encryption compression catalog fleet dump guard rule cleanup verify schedule restore_test http notify";
    const keys = `file checksum timezone state_dir temp_dir ${tables} warnings`;
    expect(Object.keys(describeConfig(config)).join(" ")).toBe(keys);
  });
});

/** Every key path, in order. */
function keysOf(node: unknown, path = ""): string[] {
  if (typeof node !== "object" || node === null || node instanceof Secret) return [path];
  return Object.entries(node).flatMap(([key, value]) => keysOf(value, `${path}.${key}`));
}
