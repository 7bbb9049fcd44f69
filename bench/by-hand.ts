import type { PostgresAddress } from "../test/lab/servers/postgres.ts";
import type { S3Lab } from "../test/lab/servers/s3.ts";

export interface HandEnvironment {
  directory: string;
  postgres: PostgresAddress;
  database: string;
  r2: S3Lab;
  b2: S3Lab;
  buckets: readonly [string, string];
}

/** Backups by hand, as bash scripts. */
export const byHand = {
  dump: ({ postgres, database }: HandEnvironment) => `${postgres.bin_dir}/pg_dump -Fc -Z0 -d ${database}`,

  /** Compressed, encrypted and in three places from one read; waits for every part. */
  threePlaces(hand: HandEnvironment): string {
    const { directory, buckets } = hand;
    return [
      `cd ${directory}; rm -f to-r2 to-b2 recipient; mkfifo to-r2 to-b2`,
      "[ -f identity ] || age-keygen -o identity 2>/dev/null",
      `rclone rcat r2:${buckets[0]}/dump.$RANDOM$RANDOM < to-r2 & R2=$!`,
      `rclone rcat b2:${buckets[1]}/dump.$RANDOM$RANDOM < to-b2 & B2=$!`,
      `${byHand.dump(hand)} | zstd -3 -q -c | age -e -r "$(age-keygen -y identity)" | tee to-r2 to-b2 > hand.dump`,
      "wait $R2 && wait $B2 && sync hand.dump",
    ].join("\n");
  },

  gzip: (hand: HandEnvironment) =>
    `${byHand.dump(hand)} | gzip -9 | openssl enc -aes-256-ctr -pbkdf2 -pass pass:bench > ${hand.directory}/gzip.dump`,

  restore: ({ postgres, directory }: HandEnvironment) =>
    `${postgres.bin_dir}/createdb -T template0 bench_restored && ${postgres.bin_dir}/pg_restore -d bench_restored ${directory}/plain.dump`,

  /** Passwords and keys in the environment variables of the programs. */
  env({ postgres, r2, b2 }: HandEnvironment): Record<string, string> {
    const remote = (name: string, lab: S3Lab) => ({
      [`RCLONE_CONFIG_${name}_TYPE`]: "s3",
      [`RCLONE_CONFIG_${name}_PROVIDER`]: "Other",
      [`RCLONE_CONFIG_${name}_ENDPOINT`]: lab.endpoint,
      [`RCLONE_CONFIG_${name}_ACCESS_KEY_ID`]: lab.access_key_id,
      [`RCLONE_CONFIG_${name}_SECRET_ACCESS_KEY`]: lab.secret_access_key,
      [`RCLONE_CONFIG_${name}_REGION`]: lab.region,
    });
    return {
      PGHOST: "127.0.0.1",
      PGPORT: String(postgres.port),
      PGUSER: postgres.user,
      PGPASSWORD: postgres.password,
      ...remote("R2", r2),
      ...remote("B2", b2),
    };
  },
};
