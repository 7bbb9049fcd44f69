import type { MarksOfDatabase, RuleMarkRecord, RuleMarks } from "../../rule-marks.ts";
import { ADD, LIST, REMOVE } from "../../sqlite/proof/rule-marks.ts";
import type { Do } from "../transactions.ts";

export class PostgresRuleMarks implements RuleMarks {
  readonly #do: Do;

  constructor(transact: Do) {
    this.#do = transact;
  }

  list(): Promise<RuleMarkRecord[]> {
    return this.#do("list the marks of 3-2-1-1-0", ({ rows }) => rows<RuleMarkRecord>(LIST));
  }

  replace(databases: readonly MarksOfDatabase[]): Promise<void> {
    return this.#do("record the marks of 3-2-1-1-0", async ({ lock, run }) => {
      // Two daemons that replace the marks of one database must not both insert them.
      await lock("rule marks");
      for (const { server, database, marks } of databases) {
        await run(REMOVE, { server, database });
        for (const { rule, state, since } of marks) await run(ADD, { server, database, rule, state, since });
      }
    });
  }
}
