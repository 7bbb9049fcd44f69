import { expect, test } from "bun:test";
import type { StorageIdentity } from "../../catalog/storages/identities.ts";
import type { Marker } from "../../storage/marker.ts";
import type { MarkerFacts } from "./marker-verdict.ts";
import { judgeMarker } from "./marker-verdict.ts";

const OURS = "00000000-0000-4000-8000-00000000000a";
const THEIRS = "00000000-0000-4000-8000-00000000000b";
const [A, B, C] = ["a", "b", "c"].map((letter) => `${letter.repeat(8)}-0000-4000-8000-000000000000`) as [
  string,
  string,
  string,
];

const marker = (storage_id: string, installation = OURS): Marker => ({
  storage_id,
  installation,
  created_at: "2026-01-01T00:00:00.000Z",
});
const known = (name: string, storage_id: string, change: Partial<StorageIdentity> = {}): StorageIdentity => ({
  name,
  storage_id,
  marked_at: "2026-01-01T00:00:00.000Z",
  place: `file:/${name}`,
  ...change,
});
const facts = (change: Partial<MarkerFacts>): MarkerFacts => ({
  name: "disk",
  place: "file:/disk",
  marker: undefined,
  installation: OURS,
  identities: [],
  found: new Map(),
  allAnswered: true,
  configured: ["disk", "nas"],
  ...change,
});

test.each<[string, Partial<MarkerFacts>, object]>([
  ["a fresh place", {}, { verdict: "unmarked" }],
  [
    "a marker that is about to be written",
    { identities: [known("disk", A, { marked_at: null })] },
    { verdict: "unmarked" },
  ],
  [
    "the known place",
    { marker: marker(A), identities: [known("disk", A)] },
    { verdict: "known", storageId: A },
  ],
  ["a lost catalog", { marker: marker(A) }, { verdict: "known", storageId: A }],
  ["another installation's marker", { marker: marker(A, THEIRS) }, { verdict: "refused" }],
  ["a marker that is gone", { identities: [known("disk", A)] }, { verdict: "refused" }],
  ["another marker", { marker: marker(B), identities: [known("disk", A)] }, { verdict: "refused" }],
  [
    "a new name",
    { marker: marker(A), identities: [known("hdd", A)] },
    { verdict: "known", storageId: A, renamedFrom: "hdd" },
  ],
  [
    "two storages that swapped names",
    {
      marker: marker(B),
      identities: [known("disk", A), known("nas", B)],
      found: new Map([
        ["disk", B],
        ["nas", A],
      ]),
    },
    { verdict: "known", storageId: B, renamedFrom: "nas" },
  ],
  [
    "the place of a storage that does not answer",
    { marker: marker(B), identities: [known("nas", B)], found: new Map([["disk", B]]) },
    { verdict: "refused" },
  ],
  [
    "the place of another storage, while its own is not found",
    { marker: marker(C), identities: [known("disk", A), known("hdd", C)], found: new Map([["disk", C]]) },
    { verdict: "refused" },
  ],
  [
    "a new name whose disk is not mounted",
    { identities: [known("hdd", A, { place: "file:/disk" })] },
    { verdict: "refused" },
  ],
  ["a new place beside one that was given up", { identities: [known("hdd", A)] }, { verdict: "unmarked" }],
  ["copies from before markers existed", { holdings: { recorded: "there" } }, { verdict: "unmarked" }],
  ["copies that are all gone", { holdings: { recorded: "gone" } }, { verdict: "refused" }],
  [
    "copies of a former name",
    { holdings: { recorded: "none", formerName: "hdd" } },
    { verdict: "unmarked", renamedFrom: "hdd" },
  ],
  ["backups of others", { holdings: { recorded: "none", foreign: THEIRS } }, { verdict: "refused" }],
])("%s", (_, change, expected) => {
  expect(judgeMarker(facts(change))).toMatchObject(expected);
});
