import { once } from 'node:events';
import { connect } from 'node:net';

/** What comes back until the other side closes, or has nothing more to say. */
export async function exchange(port: number, bytes: Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => undefined);
  socket.end(bytes);
  await Promise.race([once(socket, 'close'), new Promise((done) => setTimeout(done, 300))]).catch(() => undefined);
  socket.destroy();
  return answer;
}
