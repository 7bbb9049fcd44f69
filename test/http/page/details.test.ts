import { afterAll, beforeAll, expect, test } from "bun:test";
import { type EndpointLab, endpointLab } from "../../lab/endpoint.ts";
import { backupRecord, copyRecord } from "../../suites/catalog/records.ts";

/** A day within the last year of the lab's clock. */
const DAY = "2026-11-01";

let lab: EndpointLab;
let address: string;
const get = (search: string) => fetch(`${address}/${search}`);
const text = async (search: string) => (await get(search)).text();

beforeAll(async () => {
  lab = await endpointLab();
  ({ address } = await lab.serve());
  const { catalog } = lab.context;
  await catalog.overview.seeDatabases("main", ["app"], `${DAY}T00:00:00.000Z`);
  for (let index = 0; index < 12; index++) {
    const backup = backupRecord({
      id: `${String(index).padStart(8, "0")}-0000-4000-8000-000000000000`,
      status: index === 9 ? "FAILED" : "VERIFIED",
      started_at: `${DAY}T${String(index).padStart(2, "0")}:00:00.000Z`,
      finished_at: `${DAY}T${String(index).padStart(2, "0")}:05:00.000Z`,
      dump_bytes: 2 ** 30,
      error: index === 9 ? "pg_dump: <b>lost</b>" : null,
    });
    await catalog.insertBackup(backup);
    await catalog.putCopy(copyRecord(backup, { state: "CONFIRMED", storage: "disk" }));
  }
});
afterAll(() => lab[Symbol.asyncDispose]());

test("the page of one database shows its last year, day by day", async () => {
  const html = await text("?database=main/app");
  expect(html).toContain("Backups of the last 365 days");
  expect(html).toContain(`<title>${DAY}: 11 complete, 1 failed, 1.0 GiB</title>`);
  expect(html.match(/class="day none"/g)).toHaveLength(364);
  expect(await text("")).not.toContain("Backups of the last 365 days");
});

test("each backup has a page, found by its id or its beginning", async () => {
  const id = "00000009-0000-4000-8000-000000000000";
  for (const wanted of [id, "00000009", "00000009-0000-4000-8000-00000000000".toUpperCase()]) {
    const html = await text(`?backup=${wanted}`);
    expect(html).toContain(`<code>${id}</code>`);
    expect(html).toContain("pg_dump: &lt;b&gt;lost&lt;/b&gt;");
    expect(html).toContain("This backup has not been restored by a test.");
  }
  expect(await text("")).toContain(`href="./?backup=${id}"`);
});

test("an unknown, ambiguous or impossible id is not found", async () => {
  for (const unknown of ["ffffffff", "0000", "000", "%3Cscript%3E"]) {
    const response = await get(`?backup=${unknown}`);
    expect(response.status).toBe(404);
    expect(await response.text()).toContain("There is no such backup");
  }
  expect((await get("?backup=")).status).toBe(200);
});
