import type { DatabaseStatus, StatusReport } from "../../status/report.ts";
import { isOurs, isOverdue } from "../../status/verdict.ts";
import { isSameDatabase, type PageQuery } from "./query.ts";

/** The databases as the page shows them: problems come first. */
export interface DatabaseGroups {
  /** Shown as a card with all details. */
  full: DatabaseStatus[];
  /** Shown in one line each, because there are too many for cards. */
  brief: DatabaseStatus[];
  /** Gone databases, shown in one line each. */
  gone: DatabaseStatus[];
  /** How many are not shown. */
  left_out: number;
}

/** Limits on the databases on one page: other requests wait while a page is rendered. */
const FULL_MAX = 48;
const BRIEF_MAX = 500;
const GONE_MAX = 100;
const RANK: Readonly<Record<DatabaseStatus["state"], number>> = {
  stale: 1,
  failing: 2,
  partial: 3,
  never: 4,
  good: 5,
  gone: 6,
  elsewhere: 7,
};

/** The databases that the page is about. */
export function selected({ databases }: StatusReport, { database }: PageQuery): DatabaseStatus[] {
  return database === null ? databases : databases.filter((one) => isSameDatabase(one, database));
}

export function databaseGroups({ databases, now }: StatusReport, { database }: PageQuery): DatabaseGroups {
  if (database !== null)
    return {
      full: databases.filter((one) => isSameDatabase(one, database)),
      brief: [],
      gone: [],
      left_out: 0,
    };
  const rank = (one: DatabaseStatus) => (isOverdue(one, now) ? 0 : RANK[one.state]);
  const present = databases
    .filter(isOurs)
    .toSorted((left, right) => rank(left) - rank(right) || compareNames(left, right));
  const gone = databases.filter((one) => !isOurs(one)).toSorted(compareNames);
  const groups = {
    full: present.slice(0, FULL_MAX),
    brief: present.slice(FULL_MAX, FULL_MAX + BRIEF_MAX),
    gone: gone.slice(0, GONE_MAX),
  };
  const left_out = databases.length - Object.values(groups).flat().length;
  return { ...groups, left_out };
}

function compareNames(left: DatabaseStatus, right: DatabaseStatus): number {
  return compare(left.server, right.server) || compare(left.database, right.database);
}

function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
