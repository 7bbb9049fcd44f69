import { CreateBucketCommand } from "@aws-sdk/client-s3";
import { type S3Lab, startRgw } from "../../test/lab/servers/s3.ts";
import type { Narrator } from "./narrator.ts";
import { DemoError } from "./narrator.ts";
import type { Stage } from "./stage.ts";
import { flipByteCommand, makeKeysAndConfig, prepareServer } from "./story.ts";

const BUCKET = "backups";

/** Shows a database with all five marks of 3-2-1-1-0, which loses one by damage and gains it back. */
export async function tellProof(
  stage: Stage,
  narrator: Narrator,
  { scale, signal }: { scale: number; signal: AbortSignal },
): Promise<void> {
  await prepareServer(stage, narrator, scale);
  signal.throwIfAborted();
  await narrator.scene(
    "A bucket that keeps what it is given",
    "A private S3 server (Ceph RGW) gets a bucket with Object Lock: it refuses to delete a locked object, even to the access key that wrote it.",
  );
  await using s3 = await startRgw();
  await s3.client.send(new CreateBucketCommand({ Bucket: BUCKET, ObjectLockEnabledForBucket: true }));
  await narrator.say(`bucket    ${BUCKET} at ${s3.endpoint}, Object Lock enabled`);
  await stage.write("s3.secret", s3.secret_access_key);
  await makeKeysAndConfig(stage, narrator, storagesText(s3));
  signal.throwIfAborted();
  await narrator.scene(
    "Two copies, one of them locked",
    "With the live database that makes three copies on two kinds of storage, one off-site. The lock counts because the bucket confirmed it. status shows the five marks in the column 3-2-1-1-0; no daemon runs here, so it reads the catalog.",
  );
  await stage.show("pg321 backup");
  await narrator.say("");
  await stage.show("pg321 status | sed '/STORAGES/,$d'");
  await narrator.scene(
    "The restore test",
    "A real restore into a private PostgreSQL that exists only for the test: every table's rows are counted and compared with the counts of the dump's own snapshot.",
  );
  await stage.show("pg321 restore-test");
  await narrator.say("");
  await showMarks(stage, { held: "all" });
  await narrator.scene(
    "One mark is lost …",
    "One byte changes in the copy on the disk. verify finds it and ends with 14; the database now lacks a copy.",
  );
  await stage.show(await flipByteCommand(stage, "disk"));
  const { exitCode } = await stage.show("pg321 verify", 14);
  await narrator.say(narrator.style.dim(`(exit ${exitCode})`), "");
  await showMarks(stage, { held: "fewer" });
  await narrator.scene("… and gained back", "repair replaces the damaged copy from the one in the bucket.");
  await stage.show("pg321 repair");
  await narrator.say("");
  await showMarks(stage, { held: "all" });
}

/** Shows the databases of `status`; throws unless all marks are held, or one is not. */
async function showMarks(stage: Stage, { held }: { held: "all" | "fewer" }): Promise<void> {
  await stage.show("pg321 status | sed '/STORAGES/,$d'");
  const { databases } = await stage.json("pg321 status --json");
  const marks = databases[0].marks as { rule: string; state: string; sentence: string }[];
  const missing = marks.filter(({ state }) => state !== "held");
  if ((missing.length === 0) === (held === "all")) return;
  const shown = missing.map(({ rule, state, sentence }) => `${rule} is ${state}: ${sentence}`).join("; ");
  throw new DemoError(
    `expected ${held === "all" ? "every mark" : "a lost mark"}; ${shown || "all are held"}`,
  );
}

function storagesText({ endpoint, region, access_key_id }: S3Lab): string {
  return `[[storage]]
name = "disk"
type = "local"
path = "DIRECTORY/disk"
min_free = "100MiB"

[[storage]]
name = "bucket"
type = "s3"
provider = "ceph"
endpoint = "${endpoint}"
region = "${region}"
bucket = "${BUCKET}"
access_key_id = "${access_key_id}"
secret_access_key = { file = "DIRECTORY/s3.secret" }
off_site = true                # in this demo: in another building
lock = { mode = "governance", days = 7 }

`;
}
