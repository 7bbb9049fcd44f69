import { readdir } from "node:fs/promises";
import { DAY_MS } from "../../../src/base/limits.ts";
import type { BackupRecord } from "../../../src/catalog/records.ts";
import type { JobContext } from "../../../src/jobs/context.ts";
import type { CopyVerdict } from "../../../src/jobs/verify/report.ts";
import { DirectoryPlace, type HistoryPlace } from "./places.ts";

/** A backup that once had a good copy, with facts that are known outside the program. */
interface Known {
  id: string;
  key: string;
  sha256: string;
  /** In true time, independent of the program's clock. */
  madeAtMs: number;
}

/** The places with the complete bytes of a backup, by their numbers. */
export interface Whereabouts {
  visible: Set<number>;
  stored: Set<number>;
}

export interface TruthTools {
  keepDays: number;
  /** The true time, independent of the program's clock. */
  trueNow: () => number;
  goodBackups: () => Promise<BackupRecord[]>;
  violation: (step: string, text: string) => void;
}

/** The real state of every backup that was ever good, seen without the program, and the checks after each step. */
export class HistoryTruth {
  readonly known = new Map<string, Known>();
  readonly #places: readonly HistoryPlace[];
  readonly #tools: TruthTools;

  constructor(places: readonly HistoryPlace[], tools: TruthTools) {
    this.#places = places;
    this.#tools = tools;
  }

  /** The places with the bytes of each backup that was ever good. */
  async whereabouts(): Promise<Map<string, Whereabouts>> {
    await this.#meet();
    const seen = await Promise.all(this.#places.map((place) => place.look()));
    const found = new Map<string, Whereabouts>();
    for (const { id, key, sha256 } of this.known.values()) {
      const at = (has: (object: { visible: string | undefined; stored: string[] }) => boolean) =>
        new Set(
          seen.flatMap((objects, place) =>
            objects.some((one) => one.key === key && has(one)) ? [place] : [],
          ),
        );
      found.set(id, {
        visible: at(({ visible }) => visible === sha256),
        stored: at(({ stored }) => stored.includes(sha256)),
      });
    }
    return found;
  }

  /**
   * Checks after a verification: each copy found good is good; each record that still says CONFIRMED is true, unless the
   * storage took no part; and there is an alert about each copy that is not good.
   */
  async checkClaims(
    { catalog }: JobContext,
    names: readonly string[],
    verdicts: readonly Pick<CopyVerdict, "backup_id" | "storage" | "verdict">[],
  ): Promise<void> {
    const open = new Set((await catalog.alerts({ open: true })).map(({ key }) => key));
    const where = await this.whereabouts();
    for (const { backup_id: id, storage, verdict } of verdicts) {
      const backup = await catalog.backup(id);
      const copy = (await catalog.copies(id)).find((one) => one.storage === storage);
      if (!backup || !copy || verdict === "unreachable") continue;
      const isGood = where.get(id)?.visible.has(names.indexOf(storage)) ?? false;
      if ((copy.state === "CONFIRMED" || verdict === "good") && !isGood)
        this.#tools.violation(
          "verify",
          `${id} in ${storage} is ${copy.state}, ${verdict}, and does not open`,
        );
      const place = `${backup.server}/${backup.database} ${storage}`;
      const isTold = ["verify", "repair"].some((job) => open.has(`${job} ${place}`));
      if ((copy.state === "DAMAGED" || copy.state === "MISSING") && !isTold)
        this.#tools.violation("verify", `${id} in ${storage} is ${copy.state}, and no alert tells of it`);
    }
  }

  /** Checks after everything was corrected and repaired. */
  async checkEnd({ catalog }: JobContext): Promise<void> {
    for (const { backup_id, storage, state } of await catalog.copiesInState("INTENDED"))
      this.#tools.violation("at the end", `${backup_id} in ${storage} is still ${state}`);
    const where = await this.whereabouts();
    for (const { id } of this.known.values()) {
      const status = (await catalog.backup(id))?.status;
      const isGood = status === "VERIFIED" || status === "PARTIAL";
      if ((where.get(id)?.visible.size ?? 0) > 0 && !isGood)
        this.#tools.violation("at the end", `${id} has a good copy and is ${status ?? "not recorded"}`);
    }
  }

  /** Records the backups that have become good. */
  async #meet(): Promise<void> {
    for (const { id, object_key: key, object_sha256: sha256 } of await this.#tools.goodBackups())
      if (!this.known.has(id) && sha256 !== null)
        this.known.set(id, { id, key, sha256, madeAtMs: this.#tools.trueNow() });
  }

  /** `letsGo`: true if retention may delete old enough backups; an id if a person deletes that backup. */
  async compare(step: string, before: Map<string, Whereabouts>, letsGo: boolean | string): Promise<void> {
    const after = await this.whereabouts();
    const newest = [...this.known.values()]
      .filter(({ id }) => (before.get(id)?.visible.size ?? 0) > 0)
      .sort((a, b) => b.madeAtMs - a.madeAtMs)[0];
    for (const [id, was] of before) {
      if (letsGo === id) {
        if ((after.get(id)?.stored.size ?? 0) === 0) this.known.delete(id);
        continue;
      }
      const is = after.get(id) ?? { visible: new Set(), stored: new Set() };
      const madeAtMs = this.known.get(id)?.madeAtMs ?? 0;
      const isOld = this.#tools.trueNow() - madeAtMs > this.#tools.keepDays * DAY_MS;
      const mayGo = letsGo === true && isOld && id !== newest?.id;
      for (const place of was.visible)
        if (!is.visible.has(place) && !mayGo)
          this.#tools.violation(step, `the good copy of ${id} in place ${place} is gone`);
      if (was.stored.size > 0 && is.stored.size === 0 && !mayGo)
        this.#tools.violation(step, `the last good bytes of ${id} are gone`);
    }
    for (const [place, at] of this.#places.entries())
      if (isAway(at) && (await readdir(at.path)).length > 0)
        this.#tools.violation(step, `the empty mount point of place ${place} was filled`);
  }
}

export function isAway(place: HistoryPlace | undefined): place is DirectoryPlace {
  return place instanceof DirectoryPlace && place.isAway;
}
