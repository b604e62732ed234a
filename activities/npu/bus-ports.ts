/**
 * Ports by which an Ascend 950 reaches other devices, as `hccn_tool -g -dev_info -i N` tells them. Pure. After MindCluster
 * 26.1.0, ascend-common/devmanager/hccn/hccn_tool.go: a port that is not wired is DOWN as well, which `-port_info` says.
 */
import { warning, type Finding } from './finding.js';

export interface Port {
  die: number;
  port: number;
  /** `UB`: of the bus between devices; `ETH`: of a network. */
  type: string;
  isUp: boolean;
}

const ROW = /^\s*\|\s*(\d{1,9})\s*\|\s*(\d{1,9})\s*\|[^|]*\|\s*(\w+)\s*\|\s*(UP|DOWN)\s*\|/i;

/** The first table of the answer. */
export function parsePorts(text: string): Port[] {
  const ports: Port[] = [];
  let rules = 0;
  for (const line of text.split('\n')) {
    if (/^\s*\+-/.test(line) && ++rules === 3) break;
    const [, die, port, type, link] = ROW.exec(line) ?? [];
    if (link !== undefined)
      ports.push({ die: Number(die), port: Number(port), type: type!.toUpperCase(), isUp: /^up$/i.test(link) });
  }
  return ports;
}

/** Of `-port_info`; one that does not answer is taken for wired. */
export const isWired = (text: string | undefined): boolean =>
  text === undefined || /^\s*port_enable\s*:\s*on\s*$/m.test(text);

/** @param down wired ports of the bus that are down, and of a network all that are, by the device's number */
export function portFindings(down: { device: number; ports: Port[] }[]): Finding[] {
  return down.flatMap(({ device, ports }) => {
    const named = (type: string) => ports.filter((one) => one.type === type).map(({ die, port }) => `${die}/${port}`);
    const [bus, net] = [named('UB'), named('ETH')];
    const look = (at: string) => {
      const [die, port] = at.split('/');
      return `look at its cable and module (hccn_tool -g -optical -i ${device} -u ${die} -p ${port})`;
    };
    return [
      ...(bus.length === 0
        ? []
        : [
            warning({
              check: 'bus-ports',
              what: `device ${device}: of the bus between devices ${downAre(bus)} (die/port), though wired`,
              why: "MindCluster's level of it is NotHandle (81B18603): training goes on, with less between devices",
              remedy: look(bus[0]!),
            }),
          ]),
      ...(net.length === 0
        ? []
        : [
            warning({
              check: 'network-ports',
              what: `device ${device}: of its network ${downAre(net)} (die/port)`,
              why: 'which of them this cluster uses is not known here: HCCL between nodes fails by those that it does',
              remedy: look(net[0]!),
            }),
          ]),
    ];
  });
}

const downAre = (named: string[]): string =>
  `${named.length === 1 ? 'port' : 'ports'} ${named.join(', ')} ${named.length === 1 ? 'is' : 'are'} DOWN`;
