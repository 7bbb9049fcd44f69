/** A reader of a program's output that reads nothing until the pipe is full and the program waits, or has ended. */
const READER = `
import array, fcntl, json, os, subprocess, sys, termios, time
name = sys.argv[1]
program = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, **{name: subprocess.PIPE})
pipe = getattr(program, name)
def waits():
    unread = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, unread)
    with open(f"/proc/{program.pid}/stat") as stat:
        return unread[0] >= 65536 and stat.read().rsplit(")", 1)[1].split()[0] == "S"
calm = 0
while program.poll() is None and calm < 50:
    calm = calm + 1 if waits() else 0
    time.sleep(0.01)
text = pipe.read().decode()
print(json.dumps({"text": text, "code": program.wait()}))
`;

/** What such a reader of `stdout` or `stderr` gets of a program. */
export async function readSlowly(
  stream: "stdout" | "stderr",
  words: readonly string[],
  env: Record<string, string>,
): Promise<{ text: string; code: number }> {
  const child = Bun.spawn(["python3", "-c", READER, stream, ...words], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "ignore"],
  });
  return JSON.parse(await new Response(child.stdout).text());
}
