import { join } from "node:path";
import { systemClock } from "../../../src/base/clock.ts";
import { Secret } from "../../../src/base/secret.ts";
import type { Catalog } from "../../../src/catalog/catalog.ts";
import { openCatalog } from "../../../src/catalog/open.ts";
import { Installation, localStorage, s3Storage } from "../installation.ts";
import type { S3Address } from "../servers/s3.ts";
import type { PostgresForTests } from "../servers/use-postgres.ts";
import { type Running, watched } from "./running.ts";

export interface HostOptions {
  server: string;
  databases: readonly string[];
  /** `keep.days` of its storages. */
  days: number;
  /** More lines of `[fleet]`, and more tables. */
  more?: string;
}

/** Two hosts with one catalog and one bucket; each has a server and a local storage of its own. */
export class TwoHosts implements AsyncDisposable {
  readonly a: Installation;
  readonly b: Installation;
  readonly url: string;
  readonly bucket: string;

  private constructor(fields: Pick<TwoHosts, "a" | "b" | "url" | "bucket">) {
    ({ a: this.a, b: this.b, url: this.url, bucket: this.bucket } = fields);
  }

  static async make(
    postgres: PostgresForTests,
    s3: S3Address,
    bucket: string,
    { a, b }: { a: HostOptions; b: HostOptions },
  ): Promise<TwoHosts> {
    const url = postgres.url(await postgres.createDatabase());
    const optionsOf = (host: string, { server, databases, days, more = "" }: HostOptions) => {
      const keep = { "keep.days": days };
      return {
        ...{ postgres: postgres.address, databases, serverName: server },
        storages: (directory: string) => [
          localStorage(`disk-${host}`, directory, keep),
          s3Storage("s3", s3, bucket, keep),
        ],
        more: `[catalog]\nurl = "${url}"\n[fleet]\nhost = "${host}"\n${more}`,
      };
    };
    const first = await Installation.make(optionsOf("a", a));
    return new TwoHosts({ a: first, b: await first.another(optionsOf("b", b)), url, bucket });
  }

  /** The catalog as nobody's in particular. */
  catalog(): Promise<Catalog> {
    return openCatalog({ type: "postgres", url: new Secret(this.url) }, { clock: systemClock });
  }

  async daemon(host: Installation): Promise<Running> {
    const daemon = watched(host.start("run"));
    await daemon.says("started");
    return daemon;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.a[Symbol.asyncDispose]();
    await this.b[Symbol.asyncDispose]();
  }
}

/** Stops a daemon in order. */
export async function stopped(daemon: Running): Promise<void> {
  daemon.kill("SIGTERM");
  const { exitCode, stderr } = await daemon.ended;
  if (exitCode !== 0) throw new Error(`the daemon ended with ${exitCode}:\n${stderr}`);
}

/** Where a host has its local storage. */
export function diskOf(host: Installation, name: string): string {
  return join(host.directory, name);
}
