import { describe, expect, test } from "bun:test";
import { deriveS3 } from "./s3-profiles.ts";

const ACCOUNT = "0123456789abcdef0123456789abcdef";

describe("deriveS3", () => {
  test("R2 by account id", () => {
    expect(deriveS3("cloudflare-r2", { account_id: ACCOUNT })).toEqual({
      endpoint: `https://${ACCOUNT}.r2.cloudflarestorage.com`,
      region: "auto",
      path_style: true,
      max_parallel_parts: 2,
      max_parts: 10_000,
    });
  });

  test("B2, AWS and Wasabi by region", () => {
    expect(deriveS3("backblaze-b2", { region: "us-east-005" })).toMatchObject({
      endpoint: "https://s3.us-east-005.backblazeb2.com",
    });
    expect(deriveS3("aws", { region: "eu-central-1" })).toMatchObject({
      endpoint: "https://s3.eu-central-1.amazonaws.com",
      path_style: false,
    });
    expect(deriveS3("aws", { region: "cn-north-1" })).toMatchObject({
      endpoint: "https://s3.cn-north-1.amazonaws.com.cn",
    });
    expect(deriveS3("wasabi", { region: "eu-central-2" })).toMatchObject({
      endpoint: "https://s3.eu-central-2.wasabisys.com",
    });
  });

  test("an endpoint in the config takes precedence, without its trailing slash", () => {
    const endpoint = `https://${ACCOUNT}.eu.r2.cloudflarestorage.com`;
    expect(deriveS3("cloudflare-r2", { endpoint: `${endpoint}/` })).toMatchObject({ endpoint });
  });

  test("a provider that accepts fewer parts is recognized by its host", () => {
    expect(deriveS3("generic", { endpoint: "https://s3.fr-par.scw.cloud" })).toMatchObject({
      max_parts: 1_000,
    });
  });

  test.each([
    ["cloudflare-r2", {}, ["account_id"]],
    ["cloudflare-r2", { account_id: "acme" }, ["account_id"]],
    ["backblaze-b2", {}, ["region"]],
    ["backblaze-b2", { region: "us east" }, ["region"]],
    ["minio", {}, ["endpoint"]],
    ["generic", { endpoint: "s3.example.com" }, ["endpoint"]],
    ["generic", { endpoint: "https://user:pw@s3.example.com" }, ["endpoint"]],
    ["generic", { endpoint: "https://s3.example.com/bucket" }, ["endpoint"]],
    ["aws", { endpoint: "nonsense" }, ["region", "endpoint"]],
  ] as const)("%s with %p lacks %p", (provider, given, keys) => {
    const problems = deriveS3(provider, given);
    expect(Array.isArray(problems) && problems.map(({ key }) => key)).toEqual([...keys]);
  });
});
