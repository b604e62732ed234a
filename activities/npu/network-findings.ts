/** What the devices' own network cards say about a gang over more than one node. Pure. */
import { error, warning, type Finding } from './finding.js';
import { BAD_NETWORK_HEALTH, type DeviceNetwork } from './hccn-tool.js';

/** `nodes` is the size of the gang: alone, a node uses its inner links only. */
export function networkFindings(devices: (DeviceNetwork | undefined)[], nodes: number): Finding[] {
  const grave = nodes > 1 ? error : warning;
  const found = devices.flatMap((device): Finding[] => {
    if (!device) return [];
    const about = `device ${device.device}`;
    const findings: Finding[] = [];
    if (device.link !== undefined && device.link !== 'UP')
      findings.push(
        grave({
          check: 'link',
          what: `${about}: its network link is ${device.link}`,
          why: 'HCCL between nodes fails with EI0006 or waits for its time-out',
          remedy: `look at the cable, the optical module (hccn_tool -i ${device.device} -optical -g) and the switch port`,
        }),
      );
    else if (device.health !== undefined && BAD_NETWORK_HEALTH.test(device.health))
      findings.push(
        grave({
          check: 'network-health',
          what: `${about}: network health is "${device.health}"`,
          why: 'the address that the device probes does not answer',
          remedy: `look at routes, VLAN and the detect address (hccn_tool -i ${device.device} -netdetect -g)`,
        }),
      );
    if (device.ip === undefined)
      findings.push(
        grave({
          check: 'device-ip',
          what: `${about} has no IP address`,
          why: 'HCCL reaches other nodes by it',
          remedy: `set one (hccn_tool -i ${device.device} -ip -s address … netmask …) and keep it in /etc/hccn.conf`,
        }),
      );
    return findings;
  });
  return [...found, ...mixedTls(devices), ...doubleAddresses(devices)];
}

function mixedTls(devices: (DeviceNetwork | undefined)[]): Finding[] {
  const on = devices.flatMap((device) => (device?.tls === true ? [device.device] : []));
  const off = devices.flatMap((device) => (device?.tls === false ? [device.device] : []));
  if (!on.length || !off.length) return [];
  return [
    error({
      check: 'tls',
      what: `TLS is on for devices ${on.join(', ')} and off for ${off.join(', ')}`,
      why: 'devices that differ cannot connect: EI0006',
      remedy: `set them alike (hccn_tool -i N -tls -s enable ${on.length > off.length ? 1 : 0})`,
    }),
  ];
}

function doubleAddresses(devices: (DeviceNetwork | undefined)[]): Finding[] {
  const ips = devices.flatMap((device) => device?.ip ?? []);
  const twice = [...new Set(ips.filter((ip, index) => ips.indexOf(ip) !== index))];
  return twice.map((ip) =>
    error({
      check: 'device-ip',
      what: `more than one device has the address ${ip}`,
      why: 'packets reach one of them only',
      remedy: 'give each its own in /etc/hccn.conf',
    }),
  );
}
