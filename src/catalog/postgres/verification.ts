import { DAY_MS } from "../../base/limits.ts";
import { believedUntil } from "../../base/newest-good.ts";
import type { Row } from "../sqlite/tables.ts";
import { COVERAGE, dayOf, verificationQueue } from "../sqlite/verification.ts";
import type { CopyToVerify, Coverage, Verification } from "../verification.ts";
import type { Do } from "./transactions.ts";

export class PostgresVerification implements Verification {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  queue(before: string): AsyncGenerator<CopyToVerify[]> {
    return verificationQueue((sql, values) => this.#rows(sql, values), before);
  }

  async coverage(days: number, now: Date): Promise<Coverage[]> {
    const since = dayOf(new Date(now.getTime() - days * DAY_MS));
    const rows = await this.#rows(COVERAGE, { since, until: dayOf(believedUntil(now)) });
    return rows.map((row) => ({ ...(row as unknown as Omit<Coverage, "days">), days }));
  }

  #rows(sql: string, values: Row): Promise<Row[]> {
    return this.#do("read when copies were verified", ({ rows }) => rows(sql, values));
  }
}
