import { chown, mkdir, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, Pg321Error } from "../../base/errors.ts";
import { ownProgram } from "../../base/process/own-program.ts";
import { loadConfig, processSource } from "../../config/load.ts";
import type { Finding } from "../../doctor/finding.ts";
import { serviceAccount } from "../../install/host.ts";
import type { Invocation } from "../command.ts";
import type { Answers, Places } from "./answers.ts";
import { backupsOf, configText } from "./answers.ts";

/**
 * The answers so far, as a config that `doctor` can check: exactly as the service will use them, and as its user. What it
 * has created is removed again unless `keep` was called; the directory of an installation is empty then, for another try.
 */
export class Draft implements AsyncDisposable {
  readonly answers: Answers;
  readonly places: Places;
  readonly #invocation: Invocation;
  /** Credential files that this run has written. */
  readonly #written: string[] = [];
  #isKept = false;

  constructor(invocation: Invocation, places: Places, answers: Answers) {
    this.#invocation = invocation;
    this.places = places;
    this.answers = answers;
  }

  /** Writes a secret to a file of its own, never over another. Throws code `usage` if there is one. */
  async addCredential(name: string, secret: string): Promise<{ credential: string }> {
    const path = join(this.places.credentials, name);
    await mkdir(this.places.credentials, { recursive: true, mode: 0o700 });
    if (!this.#written.includes(path)) {
      await writeFile(path, "", { flag: "wx", mode: 0o600 }).catch((cause: unknown) => {
        throw new Pg321Error("usage", `init: ${path}: ${messageOf(cause)}`, {
          hint: "it is not replaced: move it away, if nothing uses it",
          cause,
        });
      });
      this.#written.push(path);
    }
    await writeFile(path, secret, { mode: 0o600 });
    return { credential: name };
  }

  /** What `doctor` finds with these answers, in one area. Throws code `usage` if they make no valid config. */
  async examine(area: Finding["area"], answers: Answers = this.answers): Promise<Finding[]> {
    await this.write(answers);
    const child = Bun.spawn([...ownProgram(), "doctor", "--json", "--config", this.places.draftFile], {
      env: this.#invocation.env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    this.#invocation.signal.throwIfAborted();
    try {
      const { findings } = JSON.parse(stdout) as { findings: Finding[] };
      return findings.filter((finding) => finding.area === area);
    } catch {
      throw new Pg321Error("usage", this.#withoutDraft(stderr.trim().replace(/^error: /, "")));
    }
  }

  /** Throws code `usage` if the answers make no valid config. */
  async validate(): Promise<void> {
    await this.write(this.answers);
    await loadConfig(this.places.draftFile, processSource()).catch((cause: unknown) => {
      throw new Pg321Error("usage", this.#withoutDraft(messageOf(cause)), { cause });
    });
  }

  /** Nobody sees the draft: its name and its lines say nothing. */
  #withoutDraft(text: string): string {
    const place = `${RegExp.escape(this.places.draftFile)}(?::\\d+)?: (?:\\w+\\[\\d+\\]\\.)?`;
    return text.replace(new RegExp(place, "g"), "");
  }

  /** Writes the draft; only root and the service can read it. */
  async write(answers: Answers): Promise<void> {
    const { draftFile, directory } = this.places;
    await writeFile(draftFile, configText(answers, this.places), { mode: 0o640 });
    if (directory !== undefined) return;
    const account = await serviceAccount();
    if (account) await chown(draftFile, 0, account.gid);
  }

  /** The config is written: the credentials belong to it now. */
  keep(): void {
    this.#isKept = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.places.draftFile, { force: true });
    if (this.#isKept) return;
    for (const path of this.#written) await rm(path, { force: true });
    if (this.places.directory === undefined) return;
    // With anything in them, they stay.
    for (const path of [this.places.credentials, this.places.stateDir, backupsOf(this.places.directory)])
      await rmdir(path).catch(() => {});
  }
}
