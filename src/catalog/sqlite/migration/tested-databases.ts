/** Numbers of recovery times that a report shows. */
export const RECOVERIES = 10;
const FIELDS =
  "id, run_id, prover, backup_id, server, database, backup_started_at, storage, target, outcome, started_at, finished_at, fetch_ms, restore_ms, check_ms, dump_bytes, checks, error";
const pairs = (fields: string) => fields.replace(/\w+/g, "'$&', $&");

/** The words of a catalog for what the statements below need. */
interface Words {
  /** Makes a JSON object of pairs. */
  object: (pairs: string) => string;
  /** Makes a JSON list of the column `one`, in the order of the rows. */
  list: string;
  /** The function for the lesser of two values. */
  least: string;
  /** When the oldest of as many recovery times as are shown was measured; null: there are fewer. */
  since: string;
  /** The function for the place of a text in another one; 0: it is not there. */
  position: string;
}

/**
 * One row for each database that was ever tested, with the results that a report shows, as JSON: reading them among all tests
 * took twice as long as the rest of the report. Each new test, of which there are few, makes a trigger fill the row again.
 */
export const testedTable = (options: string): string => `
  CREATE TABLE tested_databases (
    server TEXT NOT NULL,
    database TEXT NOT NULL,
    latest TEXT,
    passed TEXT,
    newest TEXT,
    recoveries TEXT,
    PRIMARY KEY (server, database)
  ) ${options};`;

export const whereTested = (row: string): string =>
  `WHERE server = ${row}.server AND database = ${row}.database`;

/** Fills the rows of `tested_databases` that the condition names. */
export const fillTested = (where: string, { object, list, least }: Words): string => {
  const of =
    "FROM restore_tests WHERE server = tested_databases.server AND database = tested_databases.database";
  // See `byStanding`.
  const first = (outcomes: string) => `(SELECT ${object(pairs(FIELDS))} ${of} AND outcome IN (${outcomes})
        ORDER BY ${least}(backup_started_at, finished_at) DESC, finished_at DESC, id DESC LIMIT 1)`;
  const recovery = object(
    "'finished_at', finished_at, 'storage', storage, 'recovery_ms', fetch_ms + restore_ms",
  );
  return `
    UPDATE tested_databases SET
      latest = ${first("'PASSED', 'FAILED'")},
      passed = ${first("'PASSED'")},
      newest = (SELECT ${object(pairs("outcome, prover, error"))} ${of} ORDER BY finished_at DESC, id DESC LIMIT 1),
      recoveries = (SELECT ${list} FROM (SELECT ${recovery} AS one ${of} AND outcome = 'PASSED'
        AND fetch_ms + restore_ms IS NOT NULL ORDER BY finished_at DESC, id DESC LIMIT ${RECOVERIES}) AS last)
      ${where};`;
};
/**
 * Whether nothing of a removed test is shown. Tests are removed by the thousands, most of them old, and to fill a row takes a
 * millisecond.
 */
export const wasUnshown = (row: string, { since, position }: Words): string => `EXISTS (
      SELECT 1 FROM tested_databases ${whereTested(row)} AND ${since} > ${row}.finished_at
        AND ${position}(latest, ${row}.id) = 0 AND ${position}(passed, ${row}.id) = 0)`;
/** After the filling: those whose tests are gone. */
export const dropUntested = (where: string): string =>
  `DELETE FROM tested_databases ${where} AND newest IS NULL;`;

const WORDS: Words = {
  object: (pairs) => `json_object(${pairs})`,
  list: "json_group_array(json(one))",
  least: "min",
  since: `json_extract(recoveries, '$[${RECOVERIES - 1}].finished_at')`,
  position: "instr",
};
const settle = (row: "NEW" | "OLD") =>
  `INSERT INTO tested_databases (server, database) VALUES (${row}.server, ${row}.database) ON CONFLICT DO NOTHING;
    ${fillTested(whereTested(row), WORDS)} ${dropUntested(whereTested(row))}`;

export const TESTED_DATABASES = `${testedTable("STRICT, WITHOUT ROWID")}
  INSERT INTO tested_databases (server, database) SELECT DISTINCT server, database FROM restore_tests;
  ${fillTested("", WORDS)}
  CREATE TRIGGER restore_tests_insert AFTER INSERT ON restore_tests BEGIN ${settle("NEW")} END;
  CREATE TRIGGER restore_tests_update AFTER UPDATE ON restore_tests BEGIN ${settle("NEW")} END;
  CREATE TRIGGER restore_tests_delete AFTER DELETE ON restore_tests WHEN NOT ${wasUnshown("OLD", WORDS)} BEGIN
    ${settle("OLD")} END;
`;
