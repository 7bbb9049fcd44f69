import type { Database } from "bun:sqlite";
import type { MarksOfDatabase, RuleMarkRecord, RuleMarks } from "../../rule-marks.ts";
import type { Do } from "../busy.ts";
import type { Row } from "../tables.ts";

export const LIST: string =
  "SELECT server, database, rule, state, since FROM rule_marks ORDER BY server, database, rule";
export const REMOVE: string = "DELETE FROM rule_marks WHERE server = $server AND database = $database";
export const ADD: string = "INSERT INTO rule_marks VALUES ($server, $database, $rule, $state, $since)";

export class SqliteRuleMarks implements RuleMarks {
  readonly #database: Database;
  readonly #do: Do;

  constructor(database: Database, whileBusy: Do) {
    this.#database = database;
    this.#do = whileBusy;
  }

  list(): Promise<RuleMarkRecord[]> {
    return this.#do("list the marks of 3-2-1-1-0", () =>
      this.#database.query<RuleMarkRecord, []>(LIST).all(),
    );
  }

  replace(databases: readonly MarksOfDatabase[]): Promise<void> {
    const replaceAll = this.#database.transaction(() => {
      for (const { server, database, marks } of databases) {
        this.#database.query<never, Row>(REMOVE).run({ server, database });
        for (const { rule, state, since } of marks)
          this.#database.query<never, Row>(ADD).run({ server, database, rule, state, since });
      }
    });
    return this.#do("record the marks of 3-2-1-1-0", () => replaceAll.immediate());
  }
}
