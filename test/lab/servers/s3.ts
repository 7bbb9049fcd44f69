import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  CreateBucketCommand,
  DeleteBucketPolicyCommand,
  PutBucketPolicyCommand,
  PutBucketVersioningCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { freePort } from "./free-port.ts";

/** The address and login of a server, which the test runner passes to every test file. */
export interface S3Address {
  endpoint: string;
  region: string;
  access_key_id: string;
  secret_access_key: string;
}

export interface S3Lab extends S3Address {
  /** A client with which a test can act behind the storage's back. */
  client: S3Client;
  /** Makes a new bucket for a test; returns its name. */
  makeBucket(options?: { versioned?: boolean }): Promise<string>;
}

/** A server that this process started. It also stops when the process ends, in any way. */
export interface StartedS3 extends S3Lab, AsyncDisposable {}

/** A separate Ceph gateway, which can be stopped and started again. */
export interface StartedRgw extends StartedS3 {
  down(): Promise<void>;
  up(): Promise<void>;
}

interface Kind {
  script: string;
  programs: string[];
  packages: string;
  access_key_id: string;
}

const SECRET_ACCESS_KEY = "testsecret0123456789";

const RGW: Kind = {
  script: join(import.meta.dir, "ceph-rgw.sh"),
  programs: ["ceph-mon", "ceph-osd", "radosgw", "ceph", "monmaptool"],
  packages: "ceph-mon ceph-osd radosgw ceph-common",
  access_key_id: "testaccess",
};

const SWIFT: Kind = {
  script: join(import.meta.dir, "swift-s3.sh"),
  programs: [
    "swift-proxy-server",
    "swift-account-server",
    "swift-container-server",
    "swift-object-server",
    "memcached",
  ],
  packages: "swift-proxy swift-account swift-container swift-object memcached",
  access_key_id: "test:tester",
};

/** The environment variables with which the test runner shares its servers with all test files. */
export const SHARED_RGW = "PG321_TEST_RGW";
export const SHARED_SWIFT = "PG321_TEST_SWIFT";

/** Ceph RGW: the shared server of the run, or one for the lifetime of this process. */
export const rgw: () => Promise<S3Lab> = lazily(SHARED_RGW, startRgw);
/** OpenStack Swift: the shared server of the run, or one for the lifetime of this process. */
export const swift: () => Promise<S3Lab> = lazily(SHARED_SWIFT, startSwift);

export async function startRgw(): Promise<StartedRgw> {
  const started = await start(RGW);
  const gateway = async (command: "down" | "up") => {
    const run = Bun.spawn(["bash", RGW.script, command, started.directory, String(started.port)], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    if ((await run.exited) !== 0) throw new Error(`the gateway did not go ${command}`);
  };
  return Object.assign(started.lab, { down: () => gateway("down"), up: () => gateway("up") });
}

export async function startSwift(): Promise<StartedS3> {
  return (await start(SWIFT)).lab;
}

/** The value of the environment variable that shares this server. */
export function shareable({ endpoint, region, access_key_id, secret_access_key }: S3Address): string {
  return JSON.stringify({ endpoint, region, access_key_id, secret_access_key } satisfies S3Address);
}

export function portOf({ endpoint }: Pick<S3Address, "endpoint">): number {
  return Number(new URL(endpoint).port);
}

/** The same server, reached through a proxy on this machine. */
export function through<T extends S3Address>(lab: T, proxy: { port: number }): T {
  return { ...lab, endpoint: `http://127.0.0.1:${proxy.port}` };
}

function lazily(variable: string, startOwn: () => Promise<S3Lab>): () => Promise<S3Lab> {
  let lab: Promise<S3Lab> | undefined;
  return () => {
    const shared = process.env[variable];
    lab ??= shared === undefined ? startOwn() : Promise.resolve(labAt(JSON.parse(shared) as S3Address));
    return lab;
  };
}

async function start(kind: Kind): Promise<{ lab: StartedS3; directory: string; port: number }> {
  const missing = kind.programs.filter((program) => Bun.which(program) === null);
  if (missing.length > 0) {
    throw new Error(
      `${missing.join(", ")} not found; run: apt-get install --no-install-recommends ${kind.packages}`,
    );
  }
  const directory = await mkdtemp(join(tmpdir(), "pg321-lab-"));
  const port = await freePort();
  // The script watches this process and stops the server after it, even after kill -9. It is not a child of this
  // process (--fork), because `bun test` kills the children of a test that timed out.
  const command = ["bash", kind.script, "run", directory, String(port), String(process.pid)];
  const script = Bun.spawn(["setsid", "--fork", ...command], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, S3_ACCESS_KEY: kind.access_key_id, S3_SECRET_KEY: SECRET_ACCESS_KEY },
  });
  // It prints one line, when the server is ready.
  if ((await script.stdout.getReader().read()).done)
    throw new Error(`${kind.script} did not start its server`);
  const address: S3Address = {
    endpoint: `http://127.0.0.1:${port}`,
    region: "us-east-1",
    access_key_id: kind.access_key_id,
    secret_access_key: SECRET_ACCESS_KEY,
  };
  const stop = async () => {
    await Bun.spawn(["bash", kind.script, "stop", directory], { stdio: ["ignore", "ignore", "inherit"] })
      .exited;
    await rm(directory, { recursive: true, force: true });
  };
  const lab = Object.assign(labAt(address), { [Symbol.asyncDispose]: stop });
  return { lab, directory, port };
}

let buckets = 0;

function labAt(address: S3Address): S3Lab {
  const client = new S3Client({
    endpoint: address.endpoint,
    region: address.region,
    forcePathStyle: true,
    credentials: { accessKeyId: address.access_key_id, secretAccessKey: address.secret_access_key },
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
  });
  const makeBucket = async ({ versioned = false } = {}) => {
    const Bucket = `test-${process.pid}-${crypto.randomUUID().slice(0, 8)}-${++buckets}`;
    await client.send(new CreateBucketCommand({ Bucket }));
    if (versioned) {
      const VersioningConfiguration = { Status: "Enabled" } as const;
      await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }));
    }
    return Bucket;
  };
  return { ...address, client, makeBucket };
}

/** Makes a bucket refuse actions (`s3:DeleteObject`) for everybody, including its owner, until `allowAll`. */
export async function deny({ client }: S3Lab, Bucket: string, ...Action: string[]): Promise<void> {
  const Resource = [`arn:aws:s3:::${Bucket}`, `arn:aws:s3:::${Bucket}/*`];
  const Statement = [{ Effect: "Deny", Principal: { AWS: ["*"] }, Action, Resource }];
  const Policy = JSON.stringify({ Version: "2012-10-17", Statement });
  await client.send(new PutBucketPolicyCommand({ Bucket, Policy }));
}

export async function allowAll({ client }: S3Lab, Bucket: string): Promise<void> {
  await client.send(new DeleteBucketPolicyCommand({ Bucket }));
}
