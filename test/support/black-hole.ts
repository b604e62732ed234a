/** A machine that nothing comes back from, as one that is switched off or behind a link that is down. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';

/** A queue that is full has the kernel drop whatever else knocks, as a link that is down does. */
const SCRIPT = `const s = require('net').createServer().listen(0, '127.0.0.1', 1, () => console.log(s.address().port))`;

/** @returns where it is until the test ends, and what brings it back */
export async function blackHole(): Promise<{ url: string; comeBack(): void }> {
  const server = spawn(process.execPath, ['-e', SCRIPT], { stdio: ['ignore', 'pipe', 'inherit'] });
  const knocking: Socket[] = [];
  onTestFinished(() => {
    for (const socket of knocking) socket.destroy();
    server.kill('SIGKILL');
  });
  const port = Number(String(((await once(server.stdout, 'data')) as [Buffer])[0]));
  server.kill('SIGSTOP');
  for (let isFull = false; !isFull;) {
    const socket = connect(port, '127.0.0.1');
    knocking.push(socket);
    isFull = !(await Promise.race([once(socket, 'connect'), sleep(500, false)]));
  }
  knocking.at(-1)!.destroy();
  return { url: `http://127.0.0.1:${port}`, comeBack: () => void server.kill('SIGCONT') };
}
