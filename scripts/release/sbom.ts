import type { Release } from "./commit.ts";
import { type InsidePackage, LOCKED, packagesInside } from "./inside.ts";
import { bunVersion } from "./licences.ts";
import { TARGETS } from "./target.ts";

/** The content of every executable of a release, as CycloneDX 1.5 in JSON: Bun, and the npm packages in the bundle. */
export async function billOfMaterials(release: Release): Promise<string> {
  const packages = await packagesInside();
  const self = `pkg:generic/pg321@${release.version}`;
  const runtimes = TARGETS.map(({ runtime }) => {
    const integrity = LOCKED[`node_modules/${runtime}`]?.integrity ?? "";
    return component({ name: runtime, version: bunVersion(), license: "MIT", integrity });
  });
  const components = [...runtimes, ...packages.map(component)];
  const bill = {
    $schema: "http://cyclonedx.org/schema/bom-1.5.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.5",
    serialNumber: `urn:uuid:${uuidOf(`${self} ${release.commit}`)}`,
    version: 1,
    metadata: {
      timestamp: new Date(release.epoch * 1000).toISOString(),
      component: {
        "bom-ref": self,
        type: "application",
        name: "pg321",
        version: release.version,
        purl: self,
        licenses: [{ license: { id: "MIT" } }],
        properties: [{ name: "pg321:commit", value: release.commit }],
      },
    },
    components,
    dependencies: [{ ref: self, dependsOn: components.map((one) => one["bom-ref"]) }],
  };
  return `${JSON.stringify(bill, undefined, 2)}\n`;
}

function component({
  name,
  version,
  license,
  integrity,
}: Pick<InsidePackage, "name" | "version" | "license" | "integrity">) {
  const purl = `pkg:npm/${name.replace("@", "%40")}@${version}`;
  const isRuntime = name.startsWith("@oven/");
  return {
    "bom-ref": purl,
    type: isRuntime ? "platform" : "library",
    name,
    version,
    scope: "required",
    purl,
    hashes: [
      { alg: "SHA-512", content: Buffer.from(integrity.replace("sha512-", ""), "base64").toString("hex") },
    ],
    licenses: [{ license: { id: license } }],
  };
}

/** A UUID (version 8) from a text: the same commit has the same. */
function uuidOf(text: string): string {
  const hex = new Bun.CryptoHasher("sha256").update(text).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-9${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
