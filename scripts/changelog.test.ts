import { expect, test } from "bun:test";
import { join } from "node:path";
import { entryOf, readFragments, sectionsOf, withEntry } from "./changelog.ts";

const DIRECTORY = join(import.meta.dir, "../changes");
const sections = sectionsOf(await Bun.file(join(DIRECTORY, "README.md")).text());

test("the fragments of changes/ make an entry", async () => {
  expect(sections.get("rule")).toBe("3-2-1-1-0");
  expect(entryOf(sections, await readFragments(DIRECTORY), "[next]")).toStartWith("## [next]");
});

test("fragments come under their headings, in the order of the sections", () => {
  const fragments = [
    { file: "cli-du.md", text: "- `du` shows\n  the cost.\n" },
    { file: "backup-a.md", text: "- One.\n- Two.\n" },
    { file: "backup-b.md", text: "- Three.\n" },
  ];
  expect(entryOf(sections, fragments, "[1.0.0] - 2027-01-01")).toBe(
    "## [1.0.0] - 2027-01-01\n\n**Backup**\n\n- One.\n- Two.\n- Three.\n\n**Command line and config**\n\n- `du` shows\n  the cost.",
  );
});

test("all mistakes in fragments are named", () => {
  const fragments = [
    { file: "what-ever.md", text: "- One.\n" },
    { file: "cli-du.md", text: "No list.\n" },
  ];
  expect(() => entryOf(sections, fragments, "[1.0.0]")).toThrow(/what-ever\.md: .*\ncli-du\.md: /);
});

test("a new entry stands above the others", () => {
  expect(withEntry("# Changelog\n\nIntro.\n\n## [1.0.0]\n\n- Old.\n", "## [2.0.0]\n\n- New.")).toBe(
    "# Changelog\n\nIntro.\n\n## [2.0.0]\n\n- New.\n\n## [1.0.0]\n\n- Old.\n",
  );
});
