/** The subject of a mail, which is encoded (RFC 2047) if it has special characters. */
export function mailSubject(taken: string): string {
  const head = taken.split("\r\n\r\n")[0]?.replaceAll(/\r\n[ \t]/g, " ") ?? "";
  const subject = /^Subject: (.*)$/m.exec(head)?.[1]?.trim() ?? "";
  return subject
    .replaceAll("?= =?", "?==?")
    .replaceAll(/=\?UTF-8\?Q\?(.*?)\?=/g, (_, text: string) => unquoted(text.replaceAll("_", " ")));
}

/** The UTF-8 text of a mail whose body is quoted-printable or base64. */
export function mailText(taken: string): string {
  const [head = "", ...rest] = taken.split("\r\n\r\n");
  return bodyText(head, rest.join("\r\n\r\n")).replaceAll("\r\n", "\n");
}

function bodyText(head: string, body: string): string {
  if (/Content-Transfer-Encoding: base64/i.test(head)) return Buffer.from(body, "base64").toString();
  if (!/quoted-printable/i.test(head)) return body;
  return unquoted(body.replace(/=\r\n/g, ""));
}

/** Quoted-printable as UTF-8. */
function unquoted(text: string): string {
  const bytes = text.replace(/=([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}
