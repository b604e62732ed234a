/** What `hccn_tool` prints of one device's own network card, read. Pure. */
import { isIPv6 } from 'node:net';

export interface DeviceNetwork {
  /** What the tool calls it. */
  device: number;
  link?: string;
  health?: string;
  ip?: string;
  /** Whether its sockets use TLS; all devices of a gang must agree. */
  tls?: boolean;
}

/** An IPv4 or IPv6 address that `-ip -g`, or `-ip -inet6 -g`, tells. */
export const addressIn = (text: string): string | undefined =>
  /ipaddr:\s*(\d[\d.]*|[\da-f:]*:[\da-f:]+)/i.exec(text)?.[1];

/** The arguments that ping an address. */
export const pingOf = (address: string): string[] =>
  isIPv6(address) ? ['-ping', '-inet6', '-g', 'ipv6_address', address] : ['-ping', '-g', 'address', address];

/** From the answers to `-link`, `-net_health`, `-ip` and `-tls`, each with `-g`. */
export function parseNetwork(
  device: number,
  answers: { link: string; health: string; ip: string; tls: string },
): DeviceNetwork {
  const link = /link status:\s*(\w+)/i.exec(answers.link)?.[1];
  const health = /net health status:\s*(.+?)\s*$/im.exec(answers.health)?.[1];
  const ip = addressIn(answers.ip);
  const tls = /tls switch\[(\d)\]/i.exec(answers.tls)?.[1];
  return {
    device,
    ...(link && { link: link.toUpperCase() }),
    ...(health && { health }),
    ...(ip && { ip }),
    ...(tls && { tls: tls === '1' }),
  };
}

/** `Init` is normal where no address to probe is configured. */
export const BAD_NETWORK_HEALTH = /^(Fault|Socket fail(ed)?|Receive timeout|Unreachable|Detect ip set)$/i;

/** Of `-ping -g address …`: three packets came back. One may be lost while an address is resolved, which another try tells. */
export const reachesAll = (text: string): boolean => /(?<![\d.])0(\.0+)?% packet loss/.test(text);

/** One at a time may use it. */
export const TOOL_BUSY = /hccn_tool is busy/i;

/** How many packets were lost, where it came to that; what went wrong, where not. */
export const lastLine = (text: string): string => text.trim().split('\n').at(-1)!.trim() || 'no answer';
