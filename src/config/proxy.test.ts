import { describe, expect, test } from "bun:test";
import { inspect } from "node:util";
import { environmentOver, proxyFor } from "./proxy.ts";

const S3 = "https://s3.example.com";
const way = (url: string, env: Readonly<Record<string, string | undefined>>) =>
  proxyFor(new URL(url), env)?.place;

describe("the proxy of the environment", () => {
  test("is that of the URL's scheme, in capitals or not", () => {
    const env = { HTTPS_PROXY: "http://a:1", HTTP_PROXY: "http://b:2" };
    expect(way(S3, env)).toBe("a:1");
    expect(way("http://minio.lan:9000", env)).toBe("b:2");
    expect(way(S3, { https_proxy: "http://c:3", HTTPS_PROXY: "http://a:1" })).toBe("c:3");
    expect(way(S3, { HTTP_PROXY: "http://b:2" })).toBeUndefined();
    expect(way(S3, {})).toBeUndefined();
    expect(way(S3, { HTTPS_PROXY: "" })).toBeUndefined();
  });

  test("needs no scheme, may ask for a login that is not shown, and has a port", () => {
    const proxy = proxyFor(new URL(S3), { HTTPS_PROXY: "user:p%40ss@proxy.lan:3128" });
    expect(proxy?.url.reveal()).toBe("http://user:p%40ss@proxy.lan:3128/");
    expect(proxy?.place).toBe("proxy.lan:3128");
    expect(inspect(proxy) + JSON.stringify(proxy)).not.toContain("p%40ss");
    expect(way(S3, { HTTPS_PROXY: "https://proxy.lan" })).toBe("proxy.lan:443");
    expect(way(S3, { HTTPS_PROXY: "http://proxy.lan" })).toBe("proxy.lan:80");
  });

  test.each(["socks5://h3re:1", "http://", "http://s3cret h3re", "ftp://h3re"])(
    "%s is refused without being shown",
    (value) => {
      const refused = () => way(S3, { HTTPS_PROXY: value });
      expect(refused).toThrow('environment variable "HTTPS_PROXY"');
      expect(refused).not.toThrow("h3re");
      // Nobody asks it.
      expect(way(S3, { HTTPS_PROXY: value, NO_PROXY: "*" })).toBeUndefined();
    },
  );
});

describe("NO_PROXY", () => {
  const passes = (url: string, NO_PROXY: string) =>
    way(url, { https_proxy: "http://p:1", NO_PROXY }) === undefined;

  test.each([
    [S3, "s3.example.com"],
    [S3, "S3.Example.COM"],
    [S3, "example.com"],
    [S3, ".example.com"],
    [S3, "*.example.com"],
    [S3, "localhost, example.com"],
    [S3, "localhost example.com"],
    [S3, "s3.example.com:443"],
    ["https://s3.example.com:9000", "example.com:9000"],
    [S3, "*"],
    ["https://10.1.2.3", "10.0.0.0/8"],
    ["https://10.1.2.3", "10.1.2.3"],
    ["https://[fd00::1]:9000", "fd00::/8"],
    ["https://[fd00::1]:9000", "fd00::1"],
    ["https://[fd00::1]:9000", "[fd00::1]:9000"],
  ])("%s is asked directly with %s", (url, exceptions) => {
    expect(passes(url, exceptions)).toBe(true);
  });

  test.each([
    [S3, ""],
    [S3, ","],
    [S3, "."],
    [S3, "ample.com"],
    [S3, "s3.example.com:9000"],
    [S3, "com.example"],
    ["https://110.1.2.3", "10.1.2.3"],
    ["https://110.1.2.3", "1.2.3"],
    ["https://11.1.2.3", "10.0.0.0/8"],
    ["https://11.1.2.3", "10.0.0.0/99"],
    [S3, "10.0.0.0/8"],
    ["https://[fe80::1]", "fd00::/8"],
  ])("%s is not with %s", (url, exceptions) => {
    expect(passes(url, exceptions)).toBe(false);
  });
});

test("a variable of the process voids that of the file in any spelling", () => {
  const inFile = { https_proxy: "http://file:1", no_proxy: "*", BUCKET: "b" };
  expect(way(S3, environmentOver(inFile, {}))).toBeUndefined();
  const env = environmentOver(inFile, { HTTPS_PROXY: "http://own:1", NO_PROXY: "" });
  expect(env["BUCKET"]).toBe("b");
  expect(way(S3, env)).toBe("own:1");
});
