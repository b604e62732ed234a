/** Before a launch over several nodes: do their devices reach each other over their own network. */
import { ApplicationFailure } from '@temporalio/workflow';
import { onNode, type FailedPing, type NodeReport, type Timing } from './contract.js';
import { judgePings, planPings } from './device-pings.js';
import { listed } from './islands.js';

const REMEDY =
  "Look at the devices' addresses, netmask, gateway and VLAN (hccn_tool -i N -ip -g, -gateway -g) and at the switch ports";

export interface DeviceCheck {
  reports: NodeReport[];
  timing: Timing;
  /** No launch went well before: later ones go on in spite of what is found, since a network may come back. */
  isFirst: boolean;
  note: (text: string) => Promise<void>;
}

/** Only where nodes told the addresses of their devices. @throws EnvCheckFailed, with the node if it is one's fault */
export async function pingDevices({ reports, timing, isFirst, note }: DeviceCheck): Promise<void> {
  const devices = reports.flatMap(({ name, deviceAddresses: addresses }) =>
    addresses ? [{ node: name, addresses }] : [],
  );
  const results = await Promise.all(
    planPings(devices).map(async ({ node, pings }) => {
      const { failed } = await onNode(node, timing).pingDevices({ pings });
      return { node, asked: pings, failed };
    }),
  );
  const { bad, links } = judgePings(results);
  const found = [
    ...bad.map(
      ({ node, peers, failed }) => `${node}: no device network between it and ${listed(peers)}${saying(failed)}`,
    ),
    ...links.map(({ nodes, failed }) => `no device network between ${nodes.join(' and ')}${saying(failed)}`),
  ];
  if (!isFirst) for (const text of found) await note(text);
  else if (found.length > 0)
    throw ApplicationFailure.nonRetryable(`${found.join('; ')}. ${REMEDY}`, 'EnvCheckFailed', {
      ...(bad[0] && { node: bad[0].node }),
      found,
    });
}

const saying = ({ device, address, said }: FailedPing): string => ` (device ${device}, to ${address}: ${said})`;
