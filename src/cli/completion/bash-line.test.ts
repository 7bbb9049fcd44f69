import { describe, expect, test } from "bun:test";
import { bashReplies, readBashLine } from "./bash-line.ts";

/** COMP_WORDBREAKS of a new bash. */
const BREAKS = " \t\n\"'@><=;|&(:";
const read = (line: string) => readBashLine(line, BREAKS);
const current = (line: string) => read(line).current;

describe("the words of a line", () => {
  test.each([
    ["pg321 restore -d ", ["restore", "-d"], ""],
    ["pg321  list   --sta", ["list"], "--sta"],
    [" pg321 hold 3f2a --reason 'a b' --un", ["hold", "3f2a", "--reason", "a b"], "--un"],
    ['pg321 list -d "a \\"b\\" $x" -s m', ["list", "-d", 'a "b" $x', "-s"], "m"],
    ["pg321 list -d a\\ b\\'c ", ["list", "-d", "a b'c"], ""],
    ["pg321 list -d x'y z'\"w\"", ["list", "-d"], "xy zw"],
    ["pg321 list 2>/dev/null -d ", ["list", "-d"], ""],
    ["pg321 list > out -d a", ["list", "-d"], "a"],
  ])("%s", (line, before, word) => {
    expect(read(line)).toMatchObject({ before, current: word, isForShell: false });
  });

  test.each(["pg321 -c $HOME/x", 'pg321 -c "$HOME', "pg321 -c `pwd`", "pg321 list >o", "pg321 list > "])(
    "are for the shell: %s",
    (line) => {
      expect(read(line).isForShell).toBe(true);
    },
  );
});

describe("the replies", () => {
  test.each([
    ["pg321 list -d we", "we ird", "we\\ ird"],
    ['pg321 list -d "we', "we ird", "we ird"],
    ['pg321 list -d main/"we', "main/we ird", "we ird"],
    ["pg321 list -d a:", "a:b", "b"],
    ["pg321 list -d a\\:", "a:b", "a:b"],
    ["pg321 list --database=we", "--database=we ird", "we\\ ird"],
    ["pg321 list --database='we", "--database=we ird", "we ird"],
    ["pg321 list -d a@", "a@b", "\\@b"],
    ["pg321 list -d ", "$(x)`y`;z&!~#*?[", "\\$\\(x\\)\\`y\\`\\;z\\&\\!\\~\\#\\*\\?\\["],
    ['pg321 list -d "', '$(x)`y`"\\!', '\\$(x)\\`y\\`\\"\\\\"\'!\'"'],
    ["pg321 list -d '", "it's", "it'\\''s"],
    ["pg321 list -d ", "Ünïcode-名", "Ünïcode-名"],
  ])("%s becomes %s", (line, value, reply) => {
    expect(bashReplies(read(line), [value])).toEqual([reply]);
  });

  test("never share a beginning that ends in a backslash", () => {
    expect(bashReplies(read("pg321 list -d m"), ["my db", "my'x"])).toEqual(["'my db'", "'my'\\''x'"]);
    expect(current("pg321 list -d 'my")).toBe("my");
    expect(bashReplies(read("pg321 list -d m"), ["my db", "mydb"])).toEqual(["my\\ db", "mydb"]);
    expect(bashReplies(read("pg321 list -d m"), ["my db", "my dc"])).toEqual(["my\\ db", "my\\ dc"]);
  });
});
